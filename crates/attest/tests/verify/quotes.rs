//! Genuine quotes of TDX and SGX: what they say, and what makes them count for nothing.

use data_encoding::{BASE64, BASE64URL, HEXLOWER};
use propeller_attest::Tee;
use propeller_attest::verify::{
    Anchors, Collateral, DcapCollateral, Platform, SgxClaims, SnpChain, TcbStatus, TdxClaims,
};
use serde_json::{Value, json};

use super::samples::{
    Case, JULY_2025, MARCH_2026, OCTOBER_2026, file, sgx, tdx, tdx_outdated, tdx_v5,
};

fn trust_domain(case: &Case) -> TdxClaims {
    match case.claims().platform() {
        Platform::Tdx(claims) => TdxClaims::clone(claims),
        other => panic!("{other:?}"),
    }
}

fn enclave(case: &Case) -> SgxClaims {
    match case.claims().platform() {
        Platform::Sgx(claims) => SgxClaims::clone(claims),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_genuine_quote_of_tdx_says_what_runs() {
    let claims = trust_domain(&tdx());
    assert_eq!(
        claims.measurement.to_string(),
        "91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407de03ae6dc5f87f27428b2538873118b7"
    );
    let registers = claims.registers.map(|register| register.to_string());
    assert!(registers[0].starts_with("44c0197b"));
    assert!(registers[1].starts_with("0084452c"));
    assert!(registers[2].starts_with("d833feef"));
    assert_eq!(registers[3], "00".repeat(48));
    assert!(HEXLOWER.encode(&claims.report_data).starts_with("9a9d48e7"));
    assert_eq!(claims.tcb.status, TcbStatus::UpToDate);
    assert_eq!(claims.tcb.evaluation, 17);
    assert!(!claims.is_debug());
}

#[test]
fn a_genuine_quote_of_tdx_1_5_is_understood() {
    let claims = trust_domain(&tdx_v5());
    assert!(claims.measurement.to_string().starts_with("2a674327"));
    assert!(claims.config_id.to_string().starts_with("0151ed70"));
    assert_eq!(claims.tcb.evaluation, 20);
}

#[test]
fn a_platform_older_than_everything_that_intel_lists_is_refused() {
    let refusal = tdx_outdated().refusal();
    assert!(
        refusal.ends_with("No matching TCB level found"),
        "{refusal}"
    );
}

#[test]
fn a_genuine_quote_of_sgx_says_what_runs() {
    let claims = enclave(&sgx());
    assert_eq!(
        claims.measurement.to_string(),
        "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb"
    );
    assert!(claims.signer.to_string().starts_with("815f42f1"));
    assert_eq!((claims.product, claims.svn), (0, 0));
    assert!(claims.report_data.starts_with(b"Hello, world!\0"));
    assert_eq!(
        claims.tcb.status,
        TcbStatus::ConfigurationAndSwHardeningNeeded
    );
    assert_eq!(claims.tcb.advisories, ["INTEL-SA-00289", "INTEL-SA-00615"]);
    assert!(!claims.is_debug());
}

#[test]
fn claims_end_when_the_first_thing_behind_them_does() {
    // 2025-07-19T10:00:35Z, the end of the list of revoked platform certificates.
    let until = tdx().claims().valid_until().unwrap();
    assert_eq!(until.as_secs(), 1_752_919_235);
}

fn check_time(mut case: Case, now: u64) {
    case.now = now;
    assert!(case.refusal().starts_with("the quote does not verify"));
}

#[test]
fn collateral_that_has_expired_vouches_for_nothing() {
    check_time(tdx(), MARCH_2026);
    check_time(sgx(), MARCH_2026);
    check_time(tdx_v5(), OCTOBER_2026 + 40 * 24 * 3600);
    let until = tdx().claims().valid_until().unwrap().as_secs();
    check_time(tdx(), until + 1);
    check_time(tdx(), u64::MAX);
}

#[test]
fn collateral_from_the_future_vouches_for_nothing() {
    check_time(tdx(), JULY_2025 - 40 * 24 * 3600);
    check_time(tdx_v5(), JULY_2025);
    check_time(sgx(), 0);
}

#[test]
fn a_root_that_is_not_trusted_vouches_for_nothing() {
    let mut case = tdx();
    let amd = Anchors::vendors().amd;
    case.anchors.intel = amd[0].ark.clone();
    assert!(case.refusal().starts_with("the quote does not verify"));
    case.anchors.intel = signer_of_collateral();
    assert!(case.refusal().starts_with("the quote does not verify"));
    case.anchors.intel = Vec::new();
    assert!(case.refusal().starts_with("the quote does not verify"));
}

/// The first certificate of a chain in the collateral: of Intel, and no root.
fn signer_of_collateral() -> Vec<u8> {
    let collateral: Value = serde_json::from_slice(&file("tdx/v4_collateral.json")).unwrap();
    let pem = collateral["tcb_info_issuer_chain"].as_str().unwrap();
    let body: String = pem
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('-'))
        .collect();
    BASE64.decode(body.as_bytes()).unwrap()
}

#[test]
fn collateral_of_another_platform_does_not_fit() {
    let swap = |mut case: Case, other: Case| {
        case.collateral = other.collateral;
        case.now = other.now;
        assert!(case.refusal().starts_with("the quote does not verify"));
    };
    swap(tdx(), sgx());
    swap(sgx(), tdx());
    swap(tdx(), tdx_outdated());
    swap(tdx_v5(), tdx());
}

#[test]
fn a_quote_without_collateral_is_not_judged() {
    for mut case in [tdx(), sgx()] {
        case.collateral = Collateral::None;
        assert!(
            case.refusal()
                .contains("cannot be judged without collateral")
        );
        case.collateral = Collateral::Snp(SnpChain::default());
        assert!(case.refusal().contains("not of the kind"));
    }
}

#[test]
fn every_member_of_the_collateral_is_needed_and_signed() {
    let whole: Value = serde_json::from_slice(&file("tdx/v4_collateral.json")).unwrap();
    for member in [
        "root_ca_crl",
        "pck_crl",
        "tcb_info_issuer_chain",
        "tcb_info",
        "tcb_info_signature",
        "qe_identity_issuer_chain",
        "qe_identity",
        "qe_identity_signature",
    ] {
        let mut changed = whole.clone();
        let text = changed[member].as_str().unwrap();
        // One character, in the alphabets of all of them; in chains, of the first certificate.
        let (head, tail) = text.split_at(text.len() / 4);
        let other = if tail.starts_with('1') { "2" } else { "1" };
        changed[member] = format!("{head}{other}{}", &tail[1..]).into();
        let json = serde_json::to_vec(&changed).unwrap();
        let mut case = tdx();
        let collateral = DcapCollateral::from_json(&json).unwrap();
        case.collateral = Collateral::Dcap(Box::new(collateral));
        let refusal = case.refusal();
        assert!(refusal.starts_with("the quote does not verify"), "{member}");
    }
}

#[test]
fn collateral_is_json_of_a_bounded_length() {
    let refused = |json: &[u8]| DcapCollateral::from_json(json).unwrap_err().to_string();
    assert!(refused(b"{}").starts_with("not collateral"));
    assert!(refused(b"").starts_with("not collateral"));
    assert!(refused(&vec![b' '; 2 << 20]).contains("2097152 bytes"));
}

#[test]
fn a_quote_of_one_kind_is_not_evidence_of_another() {
    let mut case = sgx();
    case.tee = Tee::Tdx;
    assert!(case.refusal().contains("with a quote of another kind"));
    let mut case = tdx();
    case.tee = Tee::Sgx;
    case.value = json!({"quote": case.value["quote"]});
    assert!(case.refusal().contains("with a quote of another kind"));
}

fn check_quote(quote: &str, refusal: &str) {
    let mut case = tdx();
    case.value["quote"] = quote.into();
    let found = case.refusal();
    assert!(found.starts_with(refusal), "{found}");
}

#[test]
fn a_quote_is_base64_of_a_quote() {
    let genuine = file("tdx/v4_quote.bin");
    check_quote("", "the quote does not verify");
    check_quote("AAAA", "the quote does not verify");
    check_quote("not base64", "member `quote` of the evidence is not base64");
    check_quote(&BASE64URL.encode(&genuine), "member `quote`");
    check_quote(&BASE64.encode(&[0; 70_000]), "`quote` has 70");
    for length in [1, 47, 48, 631, 632, 636, 700, 764, 1252, 1257, 1258, 4935] {
        let cut = BASE64.encode(&genuine[..length]);
        check_quote(&cut, "the quote does not verify");
    }
}

#[test]
fn a_quote_in_a_version_that_is_not_known_is_refused() {
    for version in [0, 1, 2, 6, 0xffff_u16] {
        let mut quote = file("tdx/v4_quote.bin");
        quote[..2].copy_from_slice(&version.to_le_bytes());
        check_quote(&BASE64.encode(&quote), "the quote does not verify");
    }
}

#[test]
fn the_json_is_that_of_its_kind() {
    let quote = tdx().value["quote"].clone();
    for value in [
        json!(null),
        json!([]),
        json!("quote"),
        json!({}),
        json!({"quote": 1}),
        json!({"quote": null}),
        json!({"quote": quote, "more": 1}),
        json!({"quote": quote, "cc_eventlog": 7}),
        json!({"primary_evidence": {"quote": quote}}),
    ] {
        let mut case = tdx();
        case.value = value.clone();
        let refusal = case.refusal();
        assert!(
            refusal.starts_with("not the JSON of `tdx` evidence: "),
            "{value}: {refusal}"
        );
    }
    let mut case = sgx();
    case.value["cc_eventlog"] = Value::Null;
    assert!(
        case.refusal()
            .starts_with("not the JSON of `sgx` evidence: ")
    );
}

#[test]
fn a_log_of_events_changes_nothing() {
    let mut case = tdx();
    let without = format!("{:?}", case.claims());
    case.value["cc_eventlog"] = "bm90aGluZw==".into();
    assert_eq!(format!("{:?}", case.claims()), without);
    case.value.as_object_mut().unwrap().remove("cc_eventlog");
    assert_eq!(format!("{:?}", case.claims()), without);
}
