//! Every byte of a report of SEV-SNP, and of every certificate of its chain, is changed, one after
//! the other. All of them count: there is no list of exceptions.
//!
//! Of a report, the signature covers bytes 0x000 to 0x29f. Of the signature itself, bytes 48 to 71
//! of each half and all that follows must be zero, so that they count too.

use std::thread;

use propeller_attest::snp_report::{REPORT_BYTES, SnpReport};
use propeller_attest::verify::{Collateral, SnpChain};
use serde_json::json;

use super::chip::Chip;
use super::samples::{Case, file, milan};

/// Changes each byte with each of `masks` and hands it to `is_accepted`. Gives how many there were.
fn check(bytes: &[u8], masks: &[u8], is_accepted: impl Fn(&[u8]) -> bool + Sync) -> usize {
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let is_accepted = &is_accepted;
    let part = |range: std::ops::Range<usize>| {
        move || {
            for offset in range.clone() {
                for mask in masks {
                    let mut changed = bytes.to_vec();
                    changed[offset] ^= mask;
                    assert!(!is_accepted(&changed), "byte {offset:#x} with {mask:#04x}");
                }
            }
            range.len()
        }
    };
    thread::scope(|scope| {
        let first = scope.spawn(part(0..head.len()));
        let second = scope.spawn(part(head.len()..head.len() + tail.len()));
        first.join().unwrap() + second.join().unwrap()
    })
}

/// Evidence like `case`, with another report.
fn with_report(case: &Case, report: &SnpReport) -> Case {
    Case {
        tee: case.tee,
        value: json!({"attestation_report": report.to_json(), "cert_chain": null}),
        collateral: case.collateral.clone(),
        anchors: case.anchors.clone(),
        now: case.now,
    }
}

fn check_report(bytes: &[u8], case: &Case, masks: &[u8]) {
    with_report(case, &SnpReport::from_bytes(bytes).unwrap()).claims();
    let is_accepted = |changed: &[u8]| {
        SnpReport::from_bytes(changed)
            .is_ok_and(|report| with_report(case, &report).authenticate().is_ok())
    };
    assert_eq!(check(bytes, masks, is_accepted), REPORT_BYTES);
}

/// Evidence of `chip` whose chain is given, so that one call of it makes its certificates.
fn made(chip: &Chip) -> Case {
    let mut case = chip.case();
    case.collateral = Collateral::Snp(SnpChain {
        ark: None,
        ask: Some(chip.ask()),
        vcek: (chip.kind == "VCEK").then(|| chip.key()),
        vlek: (chip.kind == "VLEK").then(|| chip.key()),
    });
    case
}

#[test]
fn every_byte_of_a_genuine_report_counts() {
    check_report(&file("snp/milan_report.bin"), &milan(), &[0xff, 0x01]);
}

#[test]
fn every_byte_of_a_report_in_version_3_counts() {
    let chip = Chip::genoa();
    check_report(&chip.signed(), &made(&chip), &[0xff, 0x01]);
}

#[test]
fn every_byte_of_a_report_in_version_5_counts() {
    let chip = Chip::turin();
    check_report(&chip.signed(), &made(&chip), &[0xff, 0x01]);
    let chip = Chip::of_a_cloud();
    check_report(&chip.signed(), &made(&chip), &[0x10]);
}

#[test]
#[ignore = "takes a minute: every bit of four reports"]
fn every_bit_of_a_report_counts() {
    let masks: Vec<u8> = (0..8).map(|bit| 1 << bit).collect();
    check_report(&file("snp/milan_report.bin"), &milan(), &masks);
    for chip in [Chip::genoa(), Chip::turin(), Chip::of_a_cloud()] {
        check_report(&chip.signed(), &made(&chip), &masks);
    }
}

#[test]
fn every_byte_of_a_genuine_chips_certificate_counts() {
    let case = milan();
    let is_accepted = |der: &[u8]| {
        let mut changed = with_report(&case, &report());
        changed.collateral = Collateral::Snp(SnpChain {
            vcek: Some(der.to_vec()),
            ..SnpChain::default()
        });
        changed.authenticate().is_ok()
    };
    let der = file("snp/milan_vcek.der");
    assert!(is_accepted(&der));
    assert_eq!(check(&der, &[0xff, 0x01], is_accepted), 1360);
}

#[test]
fn every_byte_of_the_certificates_above_a_genuine_chip_counts() {
    let case = milan();
    let milan = case.anchors.amd[0].clone();
    let vcek = file("snp/milan_vcek.der");
    let is_accepted = |ark: &[u8], ask: &[u8]| {
        let mut changed = with_report(&case, &report());
        changed.collateral = Collateral::Snp(SnpChain {
            ark: Some(ark.to_vec()),
            ask: Some(ask.to_vec()),
            vcek: Some(vcek.clone()),
            vlek: None,
        });
        changed.authenticate().is_ok()
    };
    assert!(is_accepted(&milan.ark, &milan.ask));
    check(&milan.ark, &[0xff], |ark| is_accepted(ark, &milan.ask));
    check(&milan.ask, &[0xff], |ask| is_accepted(&milan.ark, ask));
}

fn report() -> SnpReport {
    SnpReport::from_bytes(&file("snp/milan_report.bin")).unwrap()
}
