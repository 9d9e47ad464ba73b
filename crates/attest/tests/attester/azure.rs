//! Evidence of Azure's virtual machines, from a real TPM and a metadata service that is a script.

use data_encoding::{BASE64URL, BASE64URL_NOPAD, HEXLOWER};
use propeller_attest::attester::Contention;
use propeller_attest::detect::Host;
use propeller_attest::{AttestError, Attester, Tee};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::azure::Azure;
use crate::kernel::{EACCES, Kernel};

const CERTIFICATES: &str = "/metadata/THIM/amd/certification";
const QUOTE: &str = "/acc/tdquote";

/// As long as it says, of a kind.
fn report(kind: u32) -> Vec<u8> {
    let mut report = vec![0x5a; 1236 + 2];
    report[..4].copy_from_slice(b"HCLA");
    report[1224..1228].copy_from_slice(&kind.to_le_bytes());
    report
}

fn pem() -> (String, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["vcek".to_owned()]).unwrap();
    (made.cert.pem(), made.cert.der().to_vec())
}

fn attest(tee: Tee, azure: &Arc<Azure>) -> Result<Value, AttestError> {
    let attester = Attester::on(tee, azure.clone()).unwrap();
    attester.evidence(&[7; 48])
}

fn text(error: &AttestError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[test]
fn evidence_on_snp_is_a_quote_the_report_and_the_chips_certificate() {
    let Some(azure) = Azure::start().map(Arc::new) else {
        return;
    };
    azure.report(&report(2));
    let (pem, der) = pem();
    azure.metadata.answers(
        CERTIFICATES,
        200,
        json!({ "vcekCert": pem, "tcbm": "DB" }).to_string(),
    );
    let evidence = attest(Tee::AzSnpVtpm, &azure).unwrap();
    assert_eq!(evidence["version"], 1);
    assert_eq!(evidence["hcl_report"], BASE64URL.encode(&report(2)));
    assert_eq!(evidence["vcek"], BASE64URL.encode(&der));
    let message = evidence["tpm_quote"]["message"].as_str().unwrap();
    assert!(message.contains(&HEXLOWER.encode(&[7; 48])), "{message}");
    assert_eq!(evidence["tpm_quote"]["pcrs"].as_array().unwrap().len(), 24);
    let asked = azure.metadata.asked();
    let first = "get /metadata/thim/amd/certification http/1.1".to_owned();
    assert_eq!(asked, [(first, true, String::new())]);
}

#[test]
fn evidence_on_tdx_is_a_quote_the_report_and_a_quote_of_the_report() {
    let Some(azure) = Azure::start().map(Arc::new) else {
        return;
    };
    azure.report(&report(4));
    let quote = json!({ "quote": BASE64URL_NOPAD.encode(b"a quote") });
    azure.metadata.answers(QUOTE, 200, quote.to_string());
    let evidence = attest(Tee::AzTdxVtpm, &azure).unwrap();
    assert_eq!(evidence["td_quote"], BASE64URL.encode(b"a quote"));
    assert!(evidence.get("vcek").is_none());
    let (first, demanded, body) = azure.metadata.asked().remove(0);
    assert_eq!(
        (first.as_str(), demanded),
        ("post /acc/tdquote http/1.1", true)
    );
    let hardware = BASE64URL_NOPAD.encode(&report(4)[32..32 + 1024]);
    assert_eq!(body, json!({ "report": hardware }).to_string());
}

#[test]
fn what_is_measured_between_the_quote_and_the_registers_makes_another_quote() {
    let Some(azure) = Azure::start().map(Arc::new) else {
        return;
    };
    azure.report(&report(2));
    let certificates = json!({ "vcekCert": pem().0 });
    azure
        .metadata
        .answers(CERTIFICATES, 200, certificates.to_string());
    *azure.measured_meanwhile.lock().unwrap() = 4;
    attest(Tee::AzSnpVtpm, &azure).unwrap();
    *azure.measured_meanwhile.lock().unwrap() = 5;
    let error = attest(Tee::AzSnpVtpm, &azure).unwrap_err();
    assert!(matches!(
        error,
        AttestError::Contended {
            contention: Contention::Measured,
            tries: 5
        }
    ));
}

#[test]
fn a_metadata_service_that_gives_nothing_useful_is_named() {
    let Some(azure) = Azure::start().map(Arc::new) else {
        return;
    };
    azure.report(&report(2));
    let unreachable = "Azure's metadata service gives no certificate: this machine has to reach \
                       169.254.169.254, port 80, which containers and firewalls may keep from it";
    for (status, body, expected) in [
        (404, "", format!("{unreachable}: it answers 404 Not Found")),
        (302, "", format!("{unreachable}: it answers 302 Found")),
        (200, "<html>", format!("{unreachable}: its answer is no JSON")),
        (
            200,
            &" ".repeat((128 << 10) + 1),
            format!("{unreachable}: its answer is longer than 131072 bytes"),
        ),
        (
            200,
            "{\"vcekCert\":\"none\"}",
            "what should be evidence of az-snp-vtpm is not: `vcekCert` of the metadata service is no \
             certificate in PEM"
                .to_owned(),
        ),
    ] {
        azure.metadata.answers(CERTIFICATES, status, body);
        let error = attest(Tee::AzSnpVtpm, &azure).unwrap_err();
        assert_eq!(text(&error), expected);
    }
}

#[test]
fn a_quote_that_is_none_is_not_passed_on() {
    let Some(azure) = Azure::start().map(Arc::new) else {
        return;
    };
    azure.report(&report(4));
    for (quote, expected) in [
        (json!({}), "is not base64 for URLs"),
        (json!({ "quote": "*" }), "is not base64 for URLs"),
        (json!({ "quote": "" }), "the hardware's answer is empty"),
    ] {
        azure.metadata.answers(QUOTE, 200, quote.to_string());
        let error = attest(Tee::AzTdxVtpm, &azure).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_tpm_without_the_paravisors_report_or_key_says_so() {
    let Some(azure) = Azure::start().map(Arc::new) else {
        return;
    };
    let none = attest(Tee::AzSnpVtpm, &azure).unwrap_err().to_string();
    assert!(
        none.ends_with("the TPM has no report of a paravisor"),
        "{none}"
    );
    azure.report(&report(4));
    let other = attest(Tee::AzSnpVtpm, &azure).unwrap_err().to_string();
    assert!(
        other.ends_with("the paravisor's report is of another kind"),
        "{other}"
    );
    azure.tpm.evict_key();
    let error = attest(Tee::AzTdxVtpm, &azure).unwrap_err();
    let expected = "the virtual TPM makes no quote: it needs the paravisor's report at index \
                    0x01400001 and its key at 0x81000003, both without a password, as Azure sets them \
                    up: the TPM refuses with code 0x18b";
    assert_eq!(text(&error), expected);
}

#[test]
fn a_machine_without_a_tpm_says_what_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::at(folder.path()));
    let error = Attester::on(Tee::AzSnpVtpm, host)
        .unwrap()
        .evidence(&[7; 48]);
    let error = error.unwrap_err();
    assert!(matches!(error, AttestError::NoTpm { .. }), "{error}");
    let denied = Kernel::new("", <[u8]>::to_vec)
        .with_tpm_error(EACCES)
        .shared();
    let error = Attester::on(Tee::AzTdxVtpm, denied)
        .unwrap()
        .evidence(&[7; 48]);
    let error = error.unwrap_err();
    assert!(
        matches!(&error, AttestError::Denied { path } if path == "/dev/tpmrm0"),
        "{error}"
    );
}

#[test]
fn a_tpm_takes_less_report_data_than_hardware() {
    let Some(azure) = Azure::start().map(Arc::new) else {
        return;
    };
    azure.report(&report(2));
    let attester = Attester::on(Tee::AzSnpVtpm, azure).unwrap();
    let error = attester.evidence(&[7; 65]).unwrap_err();
    assert!(matches!(
        error,
        AttestError::ReportDataTooLong { bytes: 65 }
    ));
}
