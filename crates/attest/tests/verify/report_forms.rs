//! The two forms of a report, held against what the crate `sev` reads and writes.

use propeller_attest::snp_report::{Product, REPORT_BYTES, SnpReport, SnpReportError};
use serde_json::{Value, json};

use super::samples::file;

const FORMS: [&str; 8] = [
    "v2_milan",
    "v2_turin",
    "v3_milan",
    "v3_genoa",
    "v4_genoa",
    "v5_genoa",
    "v5_turin",
    "v5_venice",
];

fn bytes(form: &str) -> Vec<u8> {
    file(&format!("snp/forms/{form}.bin"))
}

fn json(form: &str) -> Value {
    serde_json::from_slice(&file(&format!("snp/forms/{form}.json"))).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    SnpReport::from_bytes(bytes).unwrap_err().to_string()
}

#[test]
fn both_forms_are_those_of_sev() {
    for form in FORMS {
        let report = SnpReport::from_bytes(&bytes(form)).unwrap();
        assert_eq!(report.to_json(), json(form), "{form}");
        let same = SnpReport::from_json(&json(form)).unwrap();
        assert_eq!(same.to_bytes()[..], bytes(form)[..], "{form}");
        assert_eq!(same, report);
    }
}

#[test]
fn a_genuine_report_survives_both_ways() {
    let bytes = file("snp/milan_report.bin");
    let report = SnpReport::from_bytes(&bytes).unwrap();
    assert_eq!(report.to_bytes()[..], bytes[..]);
    assert_eq!(SnpReport::from_json(&report.to_json()).unwrap(), report);
}

#[test]
fn a_report_says_its_processor_from_version_3_on() {
    let product = |form| SnpReport::from_bytes(&bytes(form)).unwrap().product();
    assert_eq!(product("v2_turin"), None);
    assert_eq!(product("v3_milan"), Some(Product::Milan));
    assert_eq!(product("v4_genoa"), Some(Product::Genoa));
    assert_eq!(product("v5_turin"), Some(Product::Turin));
    assert_eq!(product("v5_venice"), Some(Product::Venice));
}

#[test]
fn a_report_has_its_length() {
    let whole = bytes("v5_turin");
    for length in 0..REPORT_BYTES {
        let found = refusal(&whole[..length]);
        assert_eq!(
            found,
            format!("a report of SEV-SNP has 1184 bytes, this has {length}")
        );
    }
    assert!(refusal(&[&whole[..], &[0]].concat()).ends_with("1185"));
}

#[test]
fn versions_before_2_and_after_5_are_not_read() {
    for version in [0, 1, 6, 7, 1 << 8, u32::MAX] {
        let mut bytes = bytes("v5_turin");
        bytes[..4].copy_from_slice(&version.to_le_bytes());
        assert!(refusal(&bytes).starts_with(&format!("a report in version {version} ")));
        let mut json = json("v5_turin");
        json["version"] = version.into();
        let error = SnpReport::from_json(&json).unwrap_err();
        assert!(matches!(
            error,
            SnpReportError::Version { .. } | SnpReportError::Member { .. }
        ));
    }
}

#[test]
fn bytes_that_are_kept_for_later_are_zero() {
    let reserved = |form| {
        let whole = bytes(form);
        let is_kept = |offset: &usize| {
            let mut changed = whole.clone();
            changed[*offset] = 1;
            let expected = format!("byte {offset:#05x} of the report is not zero");
            whole[*offset] == 0
                && refusal_of(&changed).is_some_and(|text| text.starts_with(&expected))
        };
        (0..REPORT_BYTES).filter(is_kept).count()
    };
    // 4 and 2 between fields, 368 after the signature, and four TCB versions with 4 or 3 each; the
    // CPUID takes 3 of 24, and the mitigations 16 of 168.
    let fixed = 4 + 2 + 368;
    assert_eq!(reserved("v2_milan"), fixed + 4 * 4 + 24 + 168);
    assert_eq!(reserved("v2_turin"), fixed + 4 * 3 + 24 + 168);
    assert_eq!(reserved("v3_genoa"), fixed + 4 * 4 + 21 + 168);
    assert_eq!(reserved("v4_genoa"), fixed + 4 * 4 + 21 + 168);
    assert_eq!(reserved("v5_genoa"), fixed + 4 * 4 + 21 + 152);
    assert_eq!(reserved("v5_turin"), fixed + 4 * 3 + 21 + 152);
}

fn refusal_of(bytes: &[u8]) -> Option<String> {
    SnpReport::from_bytes(bytes)
        .err()
        .map(|error| error.to_string())
}

#[test]
fn a_processor_that_is_not_known_is_refused() {
    for (family, model) in [(0x17, 0x01), (0x19, 0x20), (0x1a, 0x12), (0, 0)] {
        let mut bytes = bytes("v3_genoa");
        bytes[0x188..0x18a].copy_from_slice(&[family, model]);
        let expected = format!("family {family:#04x}, model {model:#04x}");
        assert!(refusal(&bytes).contains(&expected));
    }
}

#[test]
fn version_2_without_a_chip_cannot_be_read() {
    let mut bytes = bytes("v2_milan");
    bytes[0x1a0..0x1e0].fill(0);
    assert!(refusal(&bytes).contains("without the chip's identifier"));
    let mut json = json("v2_milan");
    json["chip_id"] = vec![0; 64].into();
    let error = SnpReport::from_json(&json).unwrap_err();
    assert!(matches!(error, SnpReportError::ChipMasked));
}

#[test]
fn every_member_of_the_json_is_needed_and_no_other_is_known() {
    let whole = json("v5_turin");
    for member in whole.as_object().unwrap().keys() {
        let mut less = whole.clone();
        less.as_object_mut().unwrap().remove(member);
        assert!(SnpReport::from_json(&less).is_err(), "{member}");
        let mut null = whole.clone();
        null[member] = Value::Null;
        assert!(SnpReport::from_json(&null).is_err(), "{member}");
        let mut text = whole.clone();
        text[member] = "1".into();
        assert!(SnpReport::from_json(&text).is_err(), "{member}");
    }
    let mut more = whole.clone();
    more["more"] = 1.into();
    assert!(SnpReport::from_json(&more).is_err());
    let mut more = whole;
    more["reported_tcb"]["more"] = 1.into();
    assert!(SnpReport::from_json(&more).is_err());
    for other in [json!(null), json!([]), json!("report"), json!(1)] {
        assert!(SnpReport::from_json(&other).is_err());
    }
}

#[test]
fn arrays_have_their_length_and_numbers_their_range() {
    let whole = json("v3_genoa");
    for (member, value) in [
        ("report_data", json!(vec![0; 63])),
        ("report_data", json!(vec![0; 65])),
        ("report_data", json!([])),
        ("measurement", json!(vec![256; 48])),
        ("host_data", json!(vec![-1; 32])),
        ("vmpl", json!(1_u64 << 32)),
        ("policy", json!(-1)),
        ("guest_svn", json!(1.5)),
        ("signature", json!({"r": vec![0; 72]})),
        ("signature", json!({"r": vec![0; 72], "s": vec![0; 71]})),
        ("current", json!({"major": 1, "minor": 55, "build": 256})),
    ] {
        let mut changed = whole.clone();
        changed[member] = value;
        let error = SnpReport::from_json(&changed).unwrap_err();
        assert!(matches!(error, SnpReportError::Json(_)), "{member}");
    }
}

#[test]
fn a_version_has_the_members_it_has_and_no_others() {
    for (form, member, value) in [
        ("v2_milan", "cpuid_fam_id", json!(0x19)),
        ("v3_genoa", "cpuid_step", json!(null)),
        ("v4_genoa", "launch_mit_vector", json!(0)),
        ("v5_genoa", "current_mit_vector", json!(null)),
    ] {
        let mut changed = json(form);
        changed[member] = value;
        let error = SnpReport::from_json(&changed).unwrap_err().to_string();
        assert!(error.starts_with(&format!("member `{member}` does not fit version")));
    }
    for tcb in ["current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"] {
        let mut milan = json("v3_milan");
        milan[tcb]["fmc"] = 1.into();
        let mut turin = json("v5_turin");
        turin[tcb]["fmc"] = Value::Null;
        for changed in [milan, turin] {
            let error = SnpReport::from_json(&changed).unwrap_err();
            assert!(matches!(error, SnpReportError::Member { member, .. } if member == tcb));
        }
    }
}
