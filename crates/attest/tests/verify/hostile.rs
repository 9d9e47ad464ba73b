//! Whatever is handed in, there is an answer, and it is no.

use data_encoding::BASE64;
use propeller_attest::Tee;
use propeller_attest::snp_report::SnpReport;
use propeller_attest::verify::{Collateral, DcapCollateral, SnpChain};
use serde_json::{Value, json};

use super::chip::Chip;
use super::samples::{file, milan, sgx, tdx, tdx_v5};

/// Seeds are counted up from here; a failure names its own.
const SEED: u64 = 0x0a77_e571;

/// Cuts, repeats, swaps and overwrites.
fn mutilate(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    for _ in 0..=random.usize(..4) {
        let at = random.usize(..=bytes.len());
        match random.u8(..5) {
            0 => bytes.truncate(at),
            1 => {
                let end = bytes.len().min(at + 64);
                let piece = bytes[at..end].to_vec();
                let to = random.usize(..=bytes.len());
                bytes.splice(to..to, piece);
            }
            2 => bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(16)),
            3 => {
                let end = bytes.len().min(at + random.usize(..16));
                bytes[at..end].fill(random.u8(..));
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.u8(..);
                }
            }
        }
    }
}

fn check(rounds: u64, mut round: impl FnMut(&mut fastrand::Rng)) {
    for seed in SEED..SEED + rounds {
        let mut random = fastrand::Rng::with_seed(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| round(&mut random)));
        assert!(result.is_ok(), "seed {seed:#x}");
    }
}

#[test]
fn mutilated_quotes_make_nobody_panic() {
    for (make, name) in [
        (tdx as fn() -> _, "tdx/v4_quote.bin"),
        (tdx_v5, "tdx/v5_quote.bin"),
        (sgx, "sgx/quote.bin"),
    ] {
        let genuine = make();
        let said = format!("{:?}", genuine.claims());
        let mut case = make();
        check(300, |random| {
            let mut quote = file(name);
            mutilate(&mut quote, random);
            case.value["quote"] = BASE64.encode(&quote).into();
            if let Ok(claims) = case.authenticate() {
                assert_eq!(format!("{claims:?}"), said);
            }
        });
    }
}

#[test]
fn mutilated_collateral_makes_nobody_panic() {
    let whole: Value = serde_json::from_slice(&file("tdx/v4_collateral.json")).unwrap();
    let members: Vec<String> = whole.as_object().unwrap().keys().cloned().collect();
    let mut case = tdx();
    check(300, |random| {
        let mut changed = whole.clone();
        let member = random.choice(&members).unwrap();
        let mut text = changed[member].as_str().unwrap().as_bytes().to_vec();
        mutilate(&mut text, random);
        changed[member] = String::from_utf8_lossy(&text).into();
        let json = serde_json::to_vec(&changed).unwrap();
        if let Ok(collateral) = DcapCollateral::from_json(&json) {
            case.collateral = Collateral::Dcap(Box::new(collateral));
            // What is left may be enough, such as PEM with text after it.
            drop(case.authenticate());
        }
    });
}

#[test]
fn mutilated_reports_make_nobody_panic_and_are_refused() {
    let genuine = file("snp/milan_report.bin");
    let mut case = milan();
    check(2_000, |random| {
        let mut report = genuine.clone();
        mutilate(&mut report, random);
        if let Ok(report) = SnpReport::from_bytes(&report) {
            assert_eq!(SnpReport::from_json(&report.to_json()).unwrap(), report);
            let is_genuine = report.to_bytes()[..] == genuine[..];
            case.value["attestation_report"] = report.to_json();
            assert_eq!(case.authenticate().is_ok(), is_genuine);
        }
    });
}

#[test]
fn mutilated_certificates_make_nobody_panic_and_are_refused() {
    let chip = Chip::genoa();
    let whole = [chip.ark(), chip.ask(), chip.key()];
    let mut case = chip.case();
    check(1_000, |random| {
        let mut changed = whole.clone();
        mutilate(&mut changed[random.usize(..3)], random);
        let is_whole = changed == whole;
        let [ark, ask, key] = changed;
        case.collateral = Collateral::Snp(SnpChain {
            ark: Some(ark),
            ask: Some(ask),
            vcek: Some(key),
            vlek: None,
        });
        assert_eq!(case.authenticate().is_ok(), is_whole);
    });
}

/// JSON of any shape, `depth` deep at most.
fn anything(random: &mut fastrand::Rng, depth: u8) -> Value {
    let names = [
        "quote",
        "cc_eventlog",
        "svn",
        "report_data",
        "attestation_report",
        "cert_chain",
        "cert_type",
        "data",
        "version",
        "signature",
    ];
    match random.u8(..if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => random.bool().into(),
        2 => random.u64(..).into(),
        3 => json!(-random.f64()),
        4 => BASE64.encode(&[random.u8(..); 48]).into(),
        5 => (0..random.u8(..8))
            .map(|_| anything(random, depth - 1))
            .collect(),
        _ => (0..random.u8(..8))
            .map(|_| {
                let name = *random.choice(&names).unwrap();
                (name.to_owned(), anything(random, depth - 1))
            })
            .collect(),
    }
}

#[test]
fn json_of_any_shape_makes_nobody_panic() {
    let mut case = tdx();
    check(3_000, |random| {
        case.tee = *random.choice(&Tee::ALL).unwrap();
        case.collateral = if random.bool() {
            Collateral::None
        } else {
            Collateral::Snp(SnpChain::default())
        };
        case.value = anything(random, 4);
        if let Ok(claims) = case.authenticate() {
            assert_eq!(claims.tee(), Tee::Sample);
        }
        drop(SnpReport::from_json(&case.value));
    });
}
