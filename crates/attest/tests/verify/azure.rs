//! Evidence of Azure's virtual machines: of one that is made here, and of what Microsoft's published.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD, HEXLOWER};
use propeller_attest::Tee;
use propeller_attest::snp_report::SnpReport;
use propeller_attest::verify::{AzureGuest, Collateral, Platform, SnpChain};
use serde_json::{Value, json};

use super::azure_vm::{DATA, Machine, REPORT_DATA_AT, on_snp, paravisor};
use super::chip::MEASUREMENT;
use super::samples::{Case, file, tdx};

/// Something that is not as it should be.
type Change = fn(&mut Machine);

/// The evidence with something else at a place in it.
fn with(pointer: &str, value: Value) -> Case {
    let mut evidence = Machine::new().evidence();
    *evidence.pointer_mut(pointer).unwrap() = value;
    on_snp(evidence)
}

#[test]
fn the_hardware_vouches_for_the_tpm_and_the_tpm_for_the_report_data() {
    let claims = Machine::new().case().claims();
    assert_eq!(claims.tee(), Tee::AzSnpVtpm);
    assert_eq!(claims.report_data(), DATA);
    assert_eq!(claims.measurement(), Some(HEXLOWER.encode(&MEASUREMENT)));
    assert!(!claims.is_open());
    assert!(claims.valid_until().is_some());
    let json = claims.to_json();
    assert_eq!(json["tpm"]["pcr04"], HEXLOWER.encode(&[4; 32]));
    assert_eq!(json["tpm"].as_object().unwrap().len(), 24);
    assert_eq!(json["vm_configuration"], json!({"secure-boot": true}));
    assert_eq!(json["report_data"], HEXLOWER.encode(&DATA));
    assert_eq!(json["signer"], "vcek");
    let Platform::Azure(claims) = claims.platform() else {
        panic!("{claims:?}")
    };
    assert!(matches!(claims.guest, AzureGuest::Snp(_)));
    // The newer form has the report data in the runtime data as well.
    with("/version", json!(2)).claims();
}

#[test]
fn the_certificate_may_come_from_whoever_judges() {
    let machine = Machine::new();
    let mut case = machine.case();
    case.value["vcek"] = json!("");
    assert!(case.authenticate().is_err());
    case.collateral = Collateral::Snp(SnpChain {
        vcek: Some(machine.chip.key()),
        ..SnpChain::default()
    });
    case.claims();
}

#[test]
fn every_link_of_the_chain_counts() {
    let refusal = |machine: Machine| machine.case().refusal();
    let none = "the evidence is none of a virtual machine of Azure's: ";
    let signed_otherwise = "the quote is not signed with the TPM's key: one of them was changed";

    let mut other = Machine::new();
    other.message[60] ^= 1;
    let mut changed = Machine::new().evidence();
    changed["tpm_quote"]["message"] = json!(HEXLOWER.encode(&other.message));
    assert_eq!(
        on_snp(changed).refusal(),
        format!("{none}{signed_otherwise}")
    );

    let mut other = Machine::new();
    other.registers[3] = [9; 32];
    let registers = "`pcrs` are not the 24 registers that the quote is about";
    assert_eq!(refusal(other), format!("{none}{registers}"));

    let mut other = Machine::new();
    other.registers.pop();
    assert_eq!(refusal(other), format!("{none}{registers}"));

    // A quote of another machine's TPM beside a genuine report.
    let mut stolen = Machine::new().evidence();
    let mut other = Machine::new();
    other.runtime_data["keys"][0]["n"] = json!(BASE64URL_NOPAD.encode(&[0xc1; 256]));
    stolen["hcl_report"] = json!(BASE64URL.encode(&other.report()));
    assert_eq!(
        on_snp(stolen).refusal(),
        format!("{none}{signed_otherwise}")
    );

    // Runtime data that name our key, and hardware that knows nothing of them.
    let machine = Machine::new();
    let json = machine.runtime_data.to_string().into_bytes();
    for data in [[0; 64], [0xff; 64]] {
        let hardware = machine.chip.clone().with(REPORT_DATA_AT, &data).signed();
        let report = paravisor(&hardware, 2, 1, &json);
        let refusal = with("/hcl_report", json!(BASE64URL.encode(&report))).refusal();
        let expected = "the hardware's report is about other runtime data: the TPM is not this \
                        machine's";
        assert_eq!(refusal, format!("{none}{expected}"));
    }

    // A report of the hardware's that nobody signed.
    let mut report = machine.report();
    report[32 + 0x90] ^= 1;
    let refusal = with("/hcl_report", json!(BASE64URL.encode(&report))).refusal();
    assert!(
        refusal.starts_with("the report's signature is not one of the VCEK"),
        "{refusal}"
    );

    // A chip under nobody's root.
    let mut case = Machine::new().case();
    case.anchors = propeller_attest::verify::Anchors::vendors();
    assert!(
        case.refusal()
            .contains("the key that signed the report is not vouched for")
    );
}

#[test]
fn what_the_tpm_signs_has_to_be_a_quote() {
    for at in [0, 5] {
        let mut machine = Machine::new();
        machine.message[at] ^= 1;
        let refusal = machine.case().refusal();
        assert!(
            refusal.ends_with("no quote of the registers 0 to 23 of SHA-256"),
            "{refusal}"
        );
    }
}

#[test]
fn the_paravisors_report_says_what_it_is_and_what_it_signs_with() {
    let report = "`hcl_report` is no report of a paravisor of this kind, with SHA-256";
    let key = "the runtime data name no RSA key `HCLAkPub` of the TPM, or more than one";
    let changed = |change: Change| {
        let mut machine = Machine::new();
        change(&mut machine);
        machine.case().refusal()
    };
    let cases: [(Change, &str); 7] = [
        (|machine| machine.kind = 4, report),
        (|machine| machine.kind = 3, report),
        (|machine| machine.hash = 2, report),
        (|machine| machine.runtime_data = json!([]), key),
        (|machine| machine.runtime_data["keys"] = json!([]), key),
        (
            |machine| {
                let key = machine.runtime_data["keys"][0].clone();
                machine.runtime_data["keys"] = json!([key, key]);
            },
            key,
        ),
        (
            |machine| machine.runtime_data["keys"][0]["kty"] = json!("EC"),
            key,
        ),
    ];
    for (change, expected) in cases {
        let refusal = changed(change);
        assert!(refusal.ends_with(expected), "{refusal}");
    }
}

#[test]
fn evidence_has_its_form() {
    for (pointer, value, expected) in [
        (
            "/version",
            json!(0),
            "it has version 0 of its form, and 1 and 2 of `az-snp-vtpm` are known",
        ),
        (
            "/version",
            json!("1"),
            "not the JSON of `az-snp-vtpm` evidence",
        ),
        (
            "/hcl_report",
            json!("AA"),
            "member `hcl_report` is not base64 for URLs with padding",
        ),
        (
            "/vcek",
            json!("+A=="),
            "member `vcek` is not base64 for URLs with padding",
        ),
        (
            "/tpm_quote/message",
            json!("xy"),
            "member `message` is not hexadecimal",
        ),
        (
            "/tpm_quote/signature",
            json!("0"),
            "member `signature` is not hexadecimal",
        ),
        (
            "/tpm_quote/pcrs/23",
            json!("00"),
            "`pcrs` are not the 24 registers",
        ),
        (
            "/tpm_quote/message",
            json!("00".repeat(4097)),
            "`message` has 4097 bytes",
        ),
        (
            "/hcl_report",
            json!("AAAA".repeat(22_000)),
            "`hcl_report` has 66000 bytes",
        ),
    ] {
        let refusal = with(pointer, value).refusal();
        assert!(refusal.contains(expected), "{refusal}");
    }
    let mut more = Machine::new().evidence();
    more["more"] = json!(1);
    assert!(on_snp(more).refusal().starts_with("not the JSON of"));
    let mut collateral = Machine::new().case();
    collateral.collateral = tdx().collateral;
    assert!(collateral.refusal().contains("not of the kind"));
}

/// A report that Azure's paravisor made. The certificate of its chip was not published with it.
#[test]
fn a_genuine_report_vouches_for_its_runtime_data() {
    let report = file("azure/hcl_report_snp.bin");
    let hardware = SnpReport::from_bytes(&report[32..1216]).unwrap();
    let runtime_data = digest(&SHA256, &report[1236..1236 + 583]);
    assert_eq!(hardware.report_data()[..32], *runtime_data.as_ref());
    assert_eq!(hardware.vmpl(), 0);
    // Of a quote by its TPM, nothing was published: what is left is that another's is refused.
    let mut evidence = Machine::new().evidence();
    evidence["hcl_report"] = json!(BASE64URL.encode(&report));
    let refusal = on_snp(evidence).refusal();
    assert!(
        refusal.contains("not signed with the TPM's key"),
        "{refusal}"
    );
}

/// A quote of the virtual TPM of another machine, under a report that is made here.
#[test]
fn a_genuine_quote_of_azures_tpm_is_read() {
    let genuine: Value = serde_json::from_slice(&file("azure/quote.json")).unwrap();
    let mut machine = Machine::new();
    machine.runtime_data = json!({"keys": [genuine["key"]]});
    let mut evidence = machine.evidence();
    evidence["tpm_quote"] = genuine["tpm_quote"].clone();
    let claims = on_snp(evidence).claims();
    assert_eq!(claims.report_data(), b"challenge");
    let first = &genuine["tpm_quote"]["pcrs"][0];
    assert_eq!(&claims.to_json()["tpm"]["pcr00"], first);
}

fn on_tdx(report: &[u8], quote: &Value) -> Case {
    let sample = tdx();
    let td_quote = BASE64.decode(sample.value["quote"].as_str().unwrap().as_bytes());
    Case {
        tee: Tee::AzTdxVtpm,
        value: json!({
            "version": 1,
            "tpm_quote": quote,
            "hcl_report": BASE64URL.encode(report),
            "td_quote": BASE64URL.encode(&td_quote.unwrap()),
        }),
        ..sample
    }
}

#[test]
fn a_quote_of_tdx_has_to_vouch_for_the_tpm_as_well() {
    let mut machine = Machine::new();
    machine.kind = 4;
    let (report, quote) = (machine.report(), machine.quote());
    // It is authentic, and about something else.
    let refusal = on_tdx(&report, &quote).refusal();
    assert!(
        refusal.ends_with("the TPM is not this machine's"),
        "{refusal}"
    );
    let mut case = on_tdx(&report, &quote);
    case.collateral = Collateral::None;
    assert!(
        case.refusal()
            .starts_with("evidence of kind `az-tdx-vtpm` cannot be judged without")
    );
    let genuine = file("azure/hcl_report_tdx.bin");
    let refusal = on_tdx(&genuine, &quote).refusal();
    assert!(
        refusal.contains("not signed with the TPM's key"),
        "{refusal}"
    );
    let refusal = on_tdx(&Machine::new().report(), &quote).refusal();
    assert!(
        refusal.contains("no report of a paravisor of this kind"),
        "{refusal}"
    );
}
