//! From a real TPM to a verdict: what is attested here is what is judged here.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use propeller_attest::verify::Collateral;
use propeller_attest::{Attester, Tee};
use serde_json::json;

use crate::azure_machine::Azure;
use crate::chip::Chip;
use crate::der::pem;
use crate::samples::{Case, JULY_2025};

#[test]
fn what_a_machine_of_azures_sends_is_what_is_judged() {
    let Some(azure) = Azure::start().map(Arc::new) else {
        return;
    };
    let key = json!({
        "kid": "HCLAkPub",
        "kty": "RSA",
        "n": BASE64URL_NOPAD.encode(&azure.modulus),
        "e": "AQAB",
    });
    let json = json!({ "keys": [key] }).to_string().into_bytes();
    let mut data = digest(&SHA256, &json).as_ref().to_vec();
    data.resize(64, 0);
    let chip = Chip::genoa().with(0x050, &data);
    azure.report(&super::azure_vm::paravisor(&chip.signed(), 2, 1, &json));
    let certificates = json!({ "vcekCert": pem(&chip.key()) }).to_string();
    let path = "/metadata/THIM/amd/certification";
    azure.metadata.answers(path, 200, certificates);
    azure.tpm.extend(8, &[0x5a; 32]);

    let attester = Attester::on(Tee::AzSnpVtpm, azure).unwrap();
    let case = Case {
        tee: Tee::AzSnpVtpm,
        value: attester.evidence(&[7; 48]).unwrap(),
        collateral: Collateral::None,
        anchors: Chip::anchors(),
        now: JULY_2025,
    };
    let claims = case.claims();
    assert_eq!(claims.report_data(), [7; 48]);
    let register = digest(&SHA256, &[[0; 32], [0x5a; 32]].concat());
    let register = data_encoding::HEXLOWER.encode(register.as_ref());
    assert_eq!(claims.to_json()["tpm"]["pcr08"], register);
}
