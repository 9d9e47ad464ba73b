//! What claims look like to people, whether or not a policy accepts them.

use propeller_attest::verify::{Policy, TcbStatus};
use serde_json::json;

use super::chip::Chip;
use super::samples::{sgx, tdx};

#[test]
fn claims_that_a_policy_refuses_can_be_shown() {
    let claims = tdx().claims();
    let expected = propeller_attest::verify::Expected {
        report_data: &[],
        init_data: None,
    };
    Policy::default().judge(&claims, &expected).unwrap_err();
    let json = claims.to_json();
    assert_eq!(json["mr_td"], claims.measurement().unwrap());
    assert_eq!(json["debug"], false);
    assert_eq!(json["td_attributes"], "0000001000000000");
    assert_eq!(json["tcb"]["status"], "UpToDate");
}

#[test]
fn an_enclave_names_its_author() {
    let json = sgx().claims().to_json();
    assert_eq!(json["isv_prod_id"], 0);
    assert_eq!(json["attributes"], "0500000000000000");
    assert!(json["mr_signer"].as_str().unwrap().starts_with("815f42f1"));
    assert_eq!(
        json["tcb"]["advisory_ids"],
        json!(["INTEL-SA-00289", "INTEL-SA-00615"])
    );
}

#[test]
fn a_guest_names_its_processor_and_who_signed() {
    let json = Chip::turin().case().claims().to_json();
    assert_eq!(json["product"], "Turin");
    assert_eq!(json["signer"], "vcek");
    assert_eq!(json["operator"], json!(null));
    assert_eq!(
        json["reported_tcb"],
        json!({"fmc": 1, "bootloader": 2, "tee": 3, "snp": 4, "microcode": 209})
    );
    let json = Chip::of_a_cloud().case().claims().to_json();
    assert_eq!(json["signer"], "vlek");
    assert_eq!(json["operator"], "cloud.example");
}

#[test]
fn statuses_are_spelled_as_intel_does() {
    for status in TcbStatus::ALL {
        assert_eq!(status.to_string().parse(), Ok(status));
    }
    assert_eq!(
        "SWHardeningNeeded".parse(),
        Ok(TcbStatus::SwHardeningNeeded)
    );
    assert!("uptodate".parse::<TcbStatus>().is_err());
}
