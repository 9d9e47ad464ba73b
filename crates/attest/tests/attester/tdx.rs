//! Evidence of TDX, and everything that can be in the way of a report.

use data_encoding::BASE64;
use propeller_attest::attester::Contention;
use propeller_attest::{AttestError, Attester, Tee};
use serde_json::Value;

use crate::kernel::{
    EACCES, EAGAIN, EBUSY, EEXIST, EIO, ENOENT, ENXIO, EPERM, EROFS, Fate, Kernel, REPORTS,
};

const CCEL: &str = "/sys/firmware/acpi/tables/data/CCEL";
const RUNTIME_LOG: &str = "/run/attestation-agent/eventlog";
const REPORT_DATA: [u8; 48] = [7; 48];

/// A quote of version 4, as far as anybody here looks into it.
fn quote(data: &[u8]) -> Vec<u8> {
    let mut quote = vec![0x11; 700];
    quote[..2].copy_from_slice(&[4, 0]);
    quote[568..632].copy_from_slice(data);
    quote
}

fn quote_of_version_5(data: &[u8]) -> Vec<u8> {
    let mut quote = vec![0x11; 800];
    quote[..2].copy_from_slice(&[5, 0]);
    quote[574..638].copy_from_slice(data);
    quote
}

fn kernel() -> Kernel {
    Kernel::new("tdx_guest", quote)
}

/// The evidence, and how many requests it took.
fn attest(kernel: Kernel) -> (Result<Value, AttestError>, usize) {
    let kernel = kernel.shared();
    let attester = Attester::on(Tee::Tdx, kernel.clone()).unwrap();
    let evidence = attester.evidence(&REPORT_DATA);
    (evidence, kernel.requests())
}

/// The error of a kernel in whose requests this happens, and how many it took.
fn failure(fates: &[Fate]) -> (AttestError, usize) {
    let (evidence, requests) = attest(kernel().with_fates(fates));
    (evidence.unwrap_err(), requests)
}

fn padded() -> [u8; 64] {
    let mut padded = [0; 64];
    padded[..48].copy_from_slice(&REPORT_DATA);
    padded
}

#[test]
fn a_quote_is_about_the_report_data_and_zeros() {
    let (evidence, requests) = attest(kernel());
    let evidence = evidence.unwrap();
    assert_eq!(evidence["quote"], BASE64.encode(&quote(&padded())));
    assert_eq!(evidence["cc_eventlog"], Value::Null);
    assert_eq!(evidence.as_object().unwrap().len(), 2);
    assert_eq!(requests, 1);
}

#[test]
fn quotes_of_version_5_are_taken() {
    let (evidence, _) = attest(Kernel::new("tdx_guest", quote_of_version_5));
    let expected = BASE64.encode(&quote_of_version_5(&padded()));
    assert_eq!(evidence.unwrap()["quote"], expected);
}

#[test]
fn the_event_log_ends_where_the_agents_own_begins() {
    let first = [&[0; 4][..], &3_u32.to_le_bytes(), &[0; 24]].concat();
    let table = [&first[..], &[0xff; 8], &[0xff; 100]].concat();
    let log = |kernel| attest(kernel).0.unwrap()["cc_eventlog"].clone();
    let encoded = |parts: &[&[u8]]| Value::from(BASE64.encode(&parts.concat()));
    let with = kernel().with_file(CCEL, &table);
    assert_eq!(log(with), encoded(&[&first, &[0xff; 8]]));
    let with = kernel()
        .with_file(CCEL, &table)
        .with_file(RUNTIME_LOG, b"event");
    assert_eq!(log(with), encoded(&[&first, b"event", &[0xff; 8]]));
    // What is no log, or is not for us, is left out.
    for without in [
        kernel().with_file(RUNTIME_LOG, b"event"),
        kernel().with_file(CCEL, b"no log"),
        kernel().with_file(CCEL, &vec![0; (512 << 10) + 1]),
        kernel().with_error(CCEL, EIO),
        kernel()
            .with_file(CCEL, &table)
            .with_error(RUNTIME_LOG, EACCES),
    ] {
        assert_eq!(log(without), Value::Null);
    }
}

#[test]
fn a_busy_kernel_is_asked_again_and_not_for_ever() {
    let busy = Fate::Unread("outblob", EBUSY);
    let (evidence, requests) =
        attest(kernel().with_fates(&[busy.clone(), busy.clone(), Fate::Report]));
    assert!(evidence.is_ok());
    assert_eq!(requests, 3);
    for busy in [
        busy,
        Fate::Unread("outblob", EAGAIN),
        Fate::Unwritten("inblob", EBUSY),
        Fate::NotMade(EBUSY),
    ] {
        let (error, requests) = failure(&[busy]);
        let contention = Contention::Busy;
        assert!(
            matches!(error, AttestError::Contended { contention: was, tries: 5 } if was == contention),
            "{error:?}"
        );
        assert_eq!(requests, 5);
    }
}

#[test]
fn a_report_that_somebody_else_had_a_hand_in_is_not_used() {
    for (fate, expected) in [
        (Fate::Raced, Contention::Raced),
        (Fate::NotMade(EEXIST), Contention::Raced),
        (Fate::Foreign, Contention::Foreign),
        (Fate::Vanishes, Contention::Vanished),
        (Fate::Unread("provider", ENOENT), Contention::Vanished),
    ] {
        let (evidence, requests) = attest(kernel().with_fates(&[fate.clone(), Fate::Report]));
        assert!(evidence.is_ok(), "{fate:?}");
        assert_eq!(requests, 2);
        let (error, requests) = failure(std::slice::from_ref(&fate));
        assert!(
            matches!(error, AttestError::Contended { contention, .. } if contention == expected),
            "{fate:?}: {error:?}"
        );
        assert_eq!(requests, 5);
    }
}

#[test]
fn what_does_not_go_away_is_told_at_once() {
    let (error, requests) = failure(&[Fate::NotMade(EACCES)]);
    assert!(matches!(&error, AttestError::Denied { path } if path == REPORTS));
    assert_eq!(
        error.to_string(),
        "/sys/kernel/config/tsm/report may not be touched: run as root, or give this user the folder, and a container needs it with write access"
    );
    assert_eq!(requests, 1);

    for code in [EPERM, EROFS] {
        let (error, _) = failure(&[Fate::NotMade(code)]);
        assert!(matches!(error, AttestError::Denied { .. }), "{error:?}");
    }
    let (error, _) = failure(&[Fate::Unread("outblob", EACCES)]);
    assert!(matches!(error, AttestError::Denied { .. }), "{error:?}");

    let (error, requests) = failure(&[Fate::NotMade(ENXIO)]);
    assert_eq!(
        error.to_string(),
        "no driver makes reports: load it with `modprobe tdx-guest`, which takes a guest of tdx"
    );
    assert_eq!(requests, 1);

    let (error, requests) = failure(&[Fate::NotMade(ENOENT)]);
    assert!(matches!(
        error,
        AttestError::NoReports { tee: Tee::Tdx, .. }
    ));
    assert!(error.to_string().contains("Linux 6.7"), "{error}");
    assert!(!error.to_string().contains("sev-guest"), "{error}");
    assert_eq!(requests, 1);

    let (error, requests) = failure(&[Fate::Unread("outblob", EIO)]);
    assert!(matches!(error, AttestError::Refused { tee: Tee::Tdx, .. }));
    assert!(
        error.to_string().contains("quote generation service"),
        "{error}"
    );
    assert_eq!(requests, 1);

    let (error, requests) = failure(&[Fate::Unread("generation", EIO)]);
    assert!(
        matches!(error, AttestError::Kernel { step: "read", .. }),
        "{error:?}"
    );
    assert_eq!(requests, 1);
}

#[test]
fn an_empty_quote_is_the_hosts_doing() {
    let (error, requests) = failure(&[Fate::Bytes(Vec::new())]);
    assert!(matches!(error, AttestError::Empty { tee: Tee::Tdx }));
    assert!(
        error.to_string().contains("quote generation service"),
        "{error}"
    );
    assert_eq!(requests, 1);
}

#[test]
fn what_is_no_quote_is_refused() {
    let mut other = quote(&padded());
    other[0] = 3;
    for bytes in [vec![4], vec![4, 0], quote(&padded())[..631].to_vec(), other] {
        let (error, requests) = failure(&[Fate::Bytes(bytes)]);
        assert!(
            matches!(error, AttestError::Malformed { tee: Tee::Tdx, .. }),
            "{error:?}"
        );
        assert_eq!(requests, 1);
    }
    let (error, _) = failure(&[Fate::Bytes(vec![4; (1 << 20) + 1])]);
    assert!(matches!(error, AttestError::Refused { .. }), "{error:?}");
}

#[test]
fn a_guest_of_another_kind_is_told() {
    let kernel = Kernel::new("sev_guest", quote).shared();
    let attester = Attester::on(Tee::Tdx, kernel.clone()).unwrap();
    let error = attester.evidence(&REPORT_DATA).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel's reports come from `sev_guest` and not from `tdx_guest`: this is no tdx"
    );
    assert_eq!(kernel.requests(), 1);
    assert_eq!(kernel.writes(), []);
}

#[test]
fn more_than_hardware_takes_is_refused_before_it_is_asked() {
    let kernel = kernel().shared();
    let attester = Attester::on(Tee::Tdx, kernel.clone()).unwrap();
    assert!(attester.evidence(&[0; 64]).is_ok());
    let error = attester.evidence(&[0; 65]).unwrap_err();
    assert!(matches!(
        error,
        AttestError::ReportDataTooLong { bytes: 65 }
    ));
    assert_eq!(kernel.requests(), 1);
}

#[test]
fn several_threads_attest_at_a_time() {
    let kernel = kernel().shared();
    let attester = Attester::on(Tee::Tdx, kernel.clone()).unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let attester = &attester;
            scope.spawn(move || {
                let evidence = attester.evidence(&[number; 64]).unwrap();
                assert_eq!(evidence["quote"], BASE64.encode(&quote(&[number; 64])));
            });
        }
    });
    assert_eq!(kernel.requests(), 8);
}
