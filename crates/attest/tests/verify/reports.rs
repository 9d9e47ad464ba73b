//! Reports of SEV-SNP: genuine ones of Milan under AMD's roots, and those of a chip that is made
//! here, for everything that AMD's never do.

use propeller_attest::Tee;
use propeller_attest::snp_report::SnpTcb;
use propeller_attest::verify::{
    Anchors, Claims, Collateral, Platform, SnpChain, SnpClaims, SnpKey,
};
use serde_json::{Value, json};

use super::chip::{Chip, MEASUREMENT};
use super::samples::{Case, JULY_2025, file, milan, tdx};

fn guest(claims: &Claims) -> SnpClaims {
    match claims.platform() {
        Platform::Snp(claims) => claims.clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn check(case: &Case, refusal: &str) {
    let found = case.refusal();
    assert!(found.contains(refusal), "{found}");
}

pub(crate) fn check_chip(chip: &Chip, refusal: &str) {
    check(&chip.case(), refusal);
}

#[test]
fn a_genuine_report_ends_in_amds_root_with_nothing_but_the_chips_key() {
    let claims = milan().claims();
    assert_eq!(claims.tee(), Tee::Snp);
    assert!(claims.measurement().unwrap().starts_with("7a1e5c26"));
    let guest = guest(&claims);
    assert_eq!(guest.key, SnpKey::Vcek);
    assert_eq!(guest.report.version(), 2);
    assert_eq!(guest.report.vmpl(), 0);
    let tcb = SnpTcb {
        fmc: None,
        bootloader: 3,
        tee: 0,
        snp: 8,
        microcode: 115,
    };
    assert_eq!(guest.report.reported_tcb(), tcb);
    assert!(!guest.report.policy().allows_debugging());
}

#[test]
fn a_genuine_report_with_the_key_of_another_genuine_chip_is_refused() {
    let mut case = milan();
    // Of the same product, and of the same TCB version.
    case.collateral = Collateral::Snp(SnpChain {
        vcek: Some(file("snp/other_milan_vcek.der")),
        ..SnpChain::default()
    });
    check(&case, "about another chip than the report");
}

#[test]
fn a_genuine_key_of_another_product_is_refused() {
    let mut case = milan();
    case.collateral = Collateral::Snp(SnpChain {
        vcek: Some(file("snp/turin_vcek.der")),
        ..SnpChain::default()
    });
    // Its own chain, from Turin's root, holds.
    check(&case, "about another TCB version than the report");
}

#[test]
fn genuine_certificates_are_valid_in_their_time_alone() {
    let mut case = milan();
    // The chip's key is valid from 2023-04-03 to 2030-04-03.
    for (now, refusal) in [
        (1_600_000_000, "certificate `ARK` is not valid at this time"),
        (
            1_680_000_000,
            "certificate `VCEK` is not valid at this time",
        ),
        (
            1_902_000_000,
            "certificate `VCEK` is not valid at this time",
        ),
    ] {
        case.now = now;
        check(&case, refusal);
    }
    case.now = JULY_2025;
    let until = case.claims().valid_until().unwrap();
    assert_eq!(until.as_secs(), 1_901_474_623);
}

#[test]
fn a_genuine_report_is_nothing_under_another_root() {
    let mut case = milan();
    case.anchors = Chip::anchors();
    check(&case, "no certificate of who issued `VCEK` is there");
}

#[test]
fn a_chain_that_is_made_here_is_nothing_to_amds_root() {
    let mut case = Chip::genoa().case();
    case.anchors = Anchors::vendors();
    check(&case, "a root that is none of AMD's");
}

#[test]
fn reports_in_versions_3_to_5_are_judged_with_the_chain_they_bring() {
    for (chip, version) in [
        (Chip::genoa(), 3),
        (Chip::genoa().with(0, &4_u32.to_le_bytes()), 4),
        (Chip::genoa().with(0, &5_u32.to_le_bytes()), 5),
        (Chip::turin(), 5),
    ] {
        let guest = guest(&chip.case().claims());
        assert_eq!(guest.report.version(), version);
        assert_eq!(guest.report.measurement(), MEASUREMENT);
        assert_eq!(guest.report.reported_tcb(), chip.tcb);
        assert_eq!(guest.key, SnpKey::Vcek);
    }
}

#[test]
fn a_report_of_a_cloud_is_signed_with_the_operators_key() {
    let guest = guest(&Chip::of_a_cloud().case().claims());
    let operator = "cloud.example".to_owned();
    assert_eq!(guest.key, SnpKey::Vlek { operator });
}

#[test]
fn the_chain_may_be_given_beside_the_evidence() {
    let chip = Chip::turin();
    let mut case = chip.case();
    case.value["cert_chain"] = Value::Null;
    check(&case, "cannot be judged without collateral");
    case.collateral = Collateral::Snp(SnpChain {
        ark: Some(chip.ark()),
        ask: Some(chip.ask()),
        vcek: Some(chip.key()),
        vlek: None,
    });
    case.claims();
    // It takes the place of what the evidence brings.
    case.value["cert_chain"] = json!([]);
    case.claims();
    case.collateral = tdx().collateral;
    check(&case, "not of the kind that evidence of kind `snp`");
}

#[test]
fn what_hosts_put_beside_the_chain_is_not_read() {
    let mut case = Chip::genoa().case();
    let chain = case.value["cert_chain"].as_array_mut().unwrap();
    chain.push(json!({"cert_type": "CRL", "data": [1, 2, 3]}));
    chain.push(json!({"cert_type": "Empty", "data": []}));
    let other = json!({"OTHER": "01234567-89ab-cdef-0123-456789abcdef"});
    chain.push(json!({"cert_type": other, "data": [0]}));
    case.claims();
}

#[test]
fn roots_and_keys_between_need_not_be_brought() {
    let mut case = Chip::genoa().case();
    let chain = case.value["cert_chain"].as_array_mut().unwrap();
    let key = chain.remove(2);
    *chain = vec![key];
    case.claims();
    let mut case = Chip::of_a_cloud().case();
    let chain = case.value["cert_chain"].as_array_mut().unwrap();
    chain.remove(1);
    check(&case, "no certificate of who issued `VLEK` is there");
}

#[test]
fn a_chain_without_the_signers_key_is_no_chain() {
    let mut case = Chip::genoa().case();
    case.value["cert_chain"].as_array_mut().unwrap().pop();
    check(&case, "its signer is VCEK, and no certificate of that kind");
    let mut chip = Chip::genoa();
    chip.kind = "VLEK";
    check_chip(&chip, "its signer is VCEK, and no certificate of that kind");
    for signing_key in 2_u32..8 {
        let chip = Chip::genoa().with(0x48, &(signing_key << 2).to_le_bytes());
        check_chip(&chip, "its signer is unknown");
    }
}

#[test]
fn two_certificates_of_a_kind_are_one_too_many() {
    for index in 0..3 {
        let mut case = Chip::genoa().case();
        let chain = case.value["cert_chain"].as_array_mut().unwrap();
        chain.push(chain[index].clone());
        check(&case, "more than one certificate");
    }
    let mut case = Chip::genoa().case();
    let chain = case.value["cert_chain"].as_array_mut().unwrap();
    chain.resize(17, json!({"cert_type": "CRL", "data": []}));
    check(&case, "no more than 16");
}

#[test]
fn a_report_that_another_chip_signed_is_refused() {
    let mut chip = Chip::genoa();
    chip.signs_with_other_key = true;
    check_chip(&chip, "the report's signature is not one of the VCEK");
}

#[test]
fn an_algorithm_that_is_not_ecdsa_on_p384_is_refused() {
    for algorithm in [0_u32, 2, 1 << 8] {
        let chip = Chip::genoa().with(0x34, &algorithm.to_le_bytes());
        check_chip(&chip, "the report's signature is not one of the VCEK");
    }
}

#[test]
fn the_json_is_that_of_its_kind() {
    let whole = Chip::genoa().case().value;
    let report = whole["attestation_report"].clone();
    for value in [
        json!(null),
        json!([]),
        json!({}),
        json!({"attestation_report": report, "more": 1}),
        json!({"attestation_report": report, "cert_chain": 1}),
        json!({"attestation_report": report, "cert_chain": [1]}),
        json!({"attestation_report": report, "cert_chain": [{"cert_type": "VCEK"}]}),
        json!({"attestation_report": report, "cert_chain": [{"cert_type": "XCEK", "data": []}]}),
        json!({"attestation_report": report, "cert_chain": [{"cert_type": "VCEK", "data": [256]}]}),
        json!({"attestation_report": report, "cert_chain": [{"cert_type": "VCEK", "data": "AA=="}]}),
    ] {
        let mut case = Chip::genoa().case();
        case.value = value.clone();
        let refusal = case.refusal();
        assert!(
            refusal.starts_with("not the JSON of `snp` evidence: "),
            "{value}: {refusal}"
        );
    }
    let mut case = Chip::genoa().case();
    case.value["attestation_report"] = json!({});
    check(&case, "not the JSON form of a report of SEV-SNP");
    case.value["attestation_report"] = whole["attestation_report"].clone();
    case.value["attestation_report"]["version"] = json!(6);
    check(&case, "in version 6 of its format");
}
