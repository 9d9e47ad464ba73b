//! Evidence of SEV-SNP.

use propeller_attest::detect::{ANSWER_BYTES, SevGuestAnswer};
use propeller_attest::{AttestError, Attester, Tee};
use serde_json::{Value, json};

use crate::kernel::{EACCES, EINVAL, EIO, ENOENT, Fate, Kernel};

/// A report of version 3 from a processor of the third generation, without a signature.
fn report(data: &[u8]) -> Vec<u8> {
    let mut report = vec![0; 1184];
    report[0] = 3;
    report[0x34] = 1;
    report[0x50..0x90].copy_from_slice(data);
    report[0x188..0x18b].copy_from_slice(&[0x19, 0x01, 0x01]);
    report
}

fn kernel() -> Kernel {
    Kernel::new("sev_guest", report)
}

fn attest(kernel: Kernel) -> (Result<Value, AttestError>, usize) {
    let kernel = kernel.shared();
    let attester = Attester::on(Tee::Snp, kernel.clone()).unwrap();
    let evidence = attester.evidence(&[7; 48]);
    (evidence, kernel.requests())
}

/// A table with one certificate.
fn table(guid: [u8; 16], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap();
    let place = [48_u32.to_le_bytes(), length.to_le_bytes()].concat();
    [&guid[..], &place, &[0; 24], data].concat()
}

const VCEK: [u8; 16] = [
    0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd,
];

#[test]
fn a_report_is_about_the_report_data_and_zeros() {
    let kernel = kernel().shared();
    let attester = Attester::on(Tee::Snp, kernel.clone()).unwrap();
    let evidence = attester.evidence(&[7; 48]).unwrap();
    let data = [[7; 48].as_slice(), &[0; 16]].concat();
    let report = &evidence["attestation_report"];
    assert_eq!(report["report_data"], json!(data));
    assert_eq!(
        (&report["version"], &report["vmpl"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(evidence["cert_chain"], Value::Null);
    assert_eq!(evidence.as_object().unwrap().len(), 2);
    // The level is text, and comes first.
    let expected = [
        ("privlevel".to_owned(), b"0".to_vec()),
        ("inblob".to_owned(), data),
    ];
    assert_eq!(kernel.writes(), expected);
    assert_eq!(kernel.requests(), 1);
}

#[test]
fn certificates_of_the_host_go_along() {
    let (evidence, _) = attest(kernel().with_auxblob(&table(VCEK, b"der")));
    let expected = json!([{ "cert_type": "VCEK", "data": [100, 101, 114] }]);
    assert_eq!(evidence.unwrap()["cert_chain"], expected);
    let (evidence, _) = attest(kernel().with_auxblob(b""));
    assert_eq!(evidence.unwrap()["cert_chain"], Value::Null);
}

#[test]
fn certificates_that_cannot_be_read_are_told() {
    let (evidence, requests) = attest(kernel().with_auxblob(&table(VCEK, b"der")[..50]));
    let error = evidence.unwrap_err();
    assert_eq!(
        error.to_string(),
        "what should be evidence of snp is not: a certificate lies outside of its table"
    );
    assert_eq!(requests, 1);
    let fate = Fate::Unread("auxblob", EIO);
    let (evidence, requests) = attest(kernel().with_fates(&[fate]));
    assert!(matches!(evidence, Err(AttestError::Kernel { .. })));
    assert_eq!(requests, 1);
}

#[test]
fn a_level_that_the_guest_does_not_have_is_told() {
    let fate = Fate::Unwritten("privlevel", EINVAL);
    let (evidence, requests) = attest(kernel().with_fates(&[fate]));
    let error = evidence.unwrap_err();
    assert!(matches!(error, AttestError::Level(_)), "{error:?}");
    assert!(error.to_string().contains("SVSM"), "{error}");
    assert_eq!(requests, 1);
}

#[test]
fn a_write_of_somebody_else_is_noticed_among_two() {
    let (evidence, requests) = attest(kernel().with_fates(&[Fate::Raced, Fate::Report]));
    assert!(evidence.is_ok());
    assert_eq!(requests, 2);
}

#[test]
fn older_kernels_are_named() {
    let (evidence, _) = attest(kernel().with_fates(&[Fate::NotMade(ENOENT)]));
    let error = evidence.unwrap_err().to_string();
    assert!(error.contains("Linux 6.7"), "{error}");
    assert!(
        error.contains("or /dev/sev-guest of an older kernel, which is not there either"),
        "{error}"
    );
}

#[test]
fn what_is_no_report_is_refused() {
    let (evidence, requests) = attest(kernel().with_fates(&[Fate::Bytes(vec![0; 64])]));
    assert!(matches!(evidence, Err(AttestError::Malformed { .. })));
    assert_eq!(requests, 1);
    let mut short = report(&[[7; 48].as_slice(), &[0; 16]].concat());
    short.pop();
    let (evidence, _) = attest(kernel().with_fates(&[Fate::Bytes(short)]));
    let error = evidence.unwrap_err();
    assert!(matches!(error, AttestError::Malformed { .. }), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
}

/// What the firmware of an older kernel's device answers.
fn answer(status: u32, report: &[u8], certificates: &[u8]) -> SevGuestAnswer {
    let len = u32::try_from(report.len()).unwrap();
    let head = [&status.to_le_bytes()[..], &len.to_le_bytes(), &[0; 24]].concat();
    let mut answer = [&head[..], report].concat();
    answer.resize(ANSWER_BYTES, 0);
    SevGuestAnswer {
        answer,
        certificates: certificates.to_vec(),
    }
}

#[test]
fn an_older_kernel_is_asked_by_its_device() {
    let device = |data: &[u8; 64]| Ok(answer(0, &report(data), &table(VCEK, b"der")));
    let evidence = attest(kernel().with_device(device)).0.unwrap();
    let data = [[7; 48].as_slice(), &[0; 16]].concat();
    assert_eq!(evidence["attestation_report"]["report_data"], json!(data));
    assert_eq!(evidence["cert_chain"][0]["cert_type"], "VCEK");
    // A host without certificates leaves the room for them as it was.
    let device = |data: &[u8; 64]| Ok(answer(0, &report(data), &[0; 0x4000]));
    let evidence = attest(kernel().with_device(device)).0.unwrap();
    assert_eq!(evidence["cert_chain"], Value::Null);
}

#[test]
fn what_the_device_does_not_give_is_told() {
    let error = |device| attest(kernel().with_device(device)).0.unwrap_err();
    let above = error(|data| Ok(answer(0x16, &report(data), &[])));
    assert!(matches!(above, AttestError::Level(_)), "{above:?}");
    let refused = error(|_| Err(EIO));
    assert!(
        matches!(refused, AttestError::Refused { .. }),
        "{refused:?}"
    );
    let denied = error(|_| Err(EACCES));
    assert!(denied.to_string().contains("/dev/sev-guest"), "{denied}");
    let empty = error(|_| Ok(answer(0, &[], &[])));
    assert!(matches!(empty, AttestError::Empty { .. }), "{empty:?}");
    let malformed = [
        error(|data| Ok(answer(0x27, &report(data), &[]))),
        error(|_| Ok(answer(0, &report(&[8; 64]), &[]))),
        error(|data| {
            let mut long = answer(0, &report(data), &[]);
            long.answer[5] = 0xff;
            Ok(long)
        }),
        error(|data| {
            let mut short = answer(0, &report(data), &[]);
            short.answer.truncate(31);
            Ok(short)
        }),
    ];
    for error in malformed {
        assert!(matches!(error, AttestError::Malformed { .. }), "{error:?}");
    }
}
