//! Evidence of SGX, through the files of Gramine.

use data_encoding::BASE64;
use propeller_attest::attester::Contention;
use propeller_attest::{AttestError, Attester, Tee};
use serde_json::{Value, json};

use crate::kernel::{EACCES, EIO, Fate, Kernel};

const KIND: &str = "/dev/attestation/attestation_type";

/// A quote of version 3, as far as anybody here looks into it.
fn quote(data: &[u8]) -> Vec<u8> {
    let mut quote = vec![0x22; 4000];
    quote[..2].copy_from_slice(&[3, 0]);
    quote[368..432].copy_from_slice(data);
    quote
}

fn gramine() -> Kernel {
    Kernel::new("", quote).with_file(KIND, b"dcap")
}

fn attest(kernel: Kernel) -> (Result<Value, AttestError>, usize) {
    let kernel = kernel.shared();
    let attester = Attester::on(Tee::Sgx, kernel.clone()).unwrap();
    let evidence = attester.evidence(&[7; 48]);
    assert_eq!(kernel.requests(), 0);
    (evidence, kernel.writes().len())
}

#[test]
fn a_quote_is_about_the_report_data_and_zeros() {
    let (evidence, writes) = attest(gramine());
    let data = [[7; 48].as_slice(), &[0; 16]].concat();
    let expected = json!({ "quote": BASE64.encode(&quote(&data)) });
    assert_eq!(evidence.unwrap(), expected);
    assert_eq!(writes, 1);
}

#[test]
fn a_quote_about_another_threads_data_is_asked_for_again() {
    let (evidence, writes) = attest(gramine().with_fates(&[Fate::Foreign, Fate::Report]));
    assert!(evidence.is_ok());
    assert_eq!(writes, 2);
    let (evidence, writes) = attest(gramine().with_fates(&[Fate::Foreign]));
    assert!(matches!(
        evidence,
        Err(AttestError::Contended {
            contention: Contention::Foreign,
            tries: 5
        })
    ));
    assert_eq!(writes, 5);
}

#[test]
fn other_ways_to_run_are_told_apart() {
    let (evidence, writes) = attest(Kernel::new("", quote));
    let error = evidence.unwrap_err();
    assert!(matches!(error, AttestError::NoGramine), "{error:?}");
    assert!(error.to_string().contains("Occlum"), "{error}");
    assert_eq!(writes, 0);

    let (evidence, _) = attest(Kernel::new("", quote).with_file(KIND, b"none\n"));
    assert_eq!(
        evidence.unwrap_err().to_string(),
        "Gramine attests by `none`: set sgx.remote_attestation = \"dcap\" in its manifest"
    );
    let (evidence, _) = attest(Kernel::new("", quote).with_error(KIND, EACCES));
    assert!(matches!(evidence, Err(AttestError::Denied { .. })));
}

#[test]
fn a_quote_that_is_none_is_told() {
    let mut other = quote(&[0; 64]);
    other[0] = 2;
    for bytes in [vec![3, 0], quote(&[0; 64])[..431].to_vec(), other] {
        let (evidence, _) = attest(gramine().with_fates(&[Fate::Bytes(bytes)]));
        assert!(matches!(evidence, Err(AttestError::Malformed { .. })));
    }
    let (evidence, _) = attest(gramine().with_fates(&[Fate::Bytes(Vec::new())]));
    assert!(matches!(
        evidence,
        Err(AttestError::Empty { tee: Tee::Sgx })
    ));
    let (evidence, _) = attest(gramine().with_fates(&[Fate::Unread("quote", EIO)]));
    let error = evidence.unwrap_err();
    assert!(matches!(error, AttestError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("aesmd"), "{error}");
}
