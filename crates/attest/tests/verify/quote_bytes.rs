//! Every byte of a quote is changed, one after the other. What is signed is refused; the list of
//! what is not signed is here, and a change there changes no claim.
//!
//! | bytes | why they are not signed |
//! |---|---|
//! | length of the authentication data, lowest byte | only where something follows the quote: that may be taken along |
//! | type of the outer certification data | it is read as what it must be |
//! | length of the certificates, its two lower bytes | a shorter one cuts off nothing but Intel's root |
//! | type and length of the certificates, and they | only if the collateral has the platform's certificates |
//! | in PEM: lines that begin with `-`, and line breaks | there is more than one way to write it |
//! | the third certificate: Intel's root | the anchor counts, not a copy of it |
//! | what follows the certificates, and the quote's end | nothing is made of it |

use std::collections::BTreeSet;
use std::ops::Range;
use std::thread;

use data_encoding::BASE64;
use propeller_attest::verify::Claims;

use super::samples::{Case, file, sgx, tdx, tdx_v5};

/// A quote, and the bytes of it that are not signed.
struct Quote {
    case: fn() -> Case,
    bytes: Vec<u8>,
    unsigned: BTreeSet<usize>,
}

impl Quote {
    /// `fields` are offsets of what is not signed before the certificates, which are in `pem`.
    fn new(case: fn() -> Case, name: &str, fields: &[Range<usize>], pem: Range<usize>) -> Self {
        let bytes = file(name);
        let mut unsigned: BTreeSet<usize> = fields.iter().cloned().flatten().collect();
        unsigned.extend(unsigned_text(&bytes[pem.clone()]).map(|at| pem.start + at));
        unsigned.extend(pem.end..bytes.len());
        Self {
            case,
            bytes,
            unsigned,
        }
    }

    /// Flips the bits of `mask` in every byte that `chosen` chooses. Gives how many were looked at.
    fn check(&self, mask: u8, chosen: impl Fn(usize) -> bool + Sync) -> usize {
        let genuine = said(&(self.case)().claims());
        let halves = [0, 1];
        let chosen = &chosen;
        let genuine = &genuine;
        thread::scope(|scope| {
            let half = |remainder: usize| {
                move || {
                    let offsets = (remainder..self.bytes.len()).step_by(2);
                    let offsets = offsets.filter(|offset| chosen(*offset));
                    offsets
                        .inspect(|offset| self.check_one(*offset, mask, genuine))
                        .count()
                }
            };
            let running = halves.map(|remainder| scope.spawn(half(remainder)));
            running.map(|half| half.join().unwrap()).iter().sum()
        })
    }

    fn check_one(&self, offset: usize, mask: u8, genuine: &str) {
        let mut bytes = self.bytes.clone();
        bytes[offset] ^= mask;
        let mut case = (self.case)();
        case.value["quote"] = BASE64.encode(&bytes).into();
        if let Ok(claims) = case.authenticate() {
            let is_unsigned = self.unsigned.contains(&offset);
            assert!(is_unsigned, "byte {offset} is signed and may be changed");
            assert_eq!(said(&claims), genuine, "byte {offset}");
        }
    }
}

fn said(claims: &Claims) -> String {
    format!("{claims:?}")
}

/// Where text in PEM is not base64 of one of the first two certificates.
fn unsigned_text(pem: &[u8]) -> impl Iterator<Item = usize> {
    let mut unsigned = Vec::new();
    let mut at = 0;
    let mut certificates = 0;
    for line in pem.split_inclusive(|byte| *byte == b'\n') {
        let is_armour = line.starts_with(b"-") || line == b"\0";
        certificates += usize::from(line.starts_with(b"-----BEGIN"));
        let text = line.len() - usize::from(line.ends_with(b"\n"));
        if is_armour || certificates > 2 {
            unsigned.extend(at..at + line.len());
        } else {
            unsigned.extend(at + text..at + line.len());
        }
        at += line.len();
    }
    unsigned.into_iter()
}

/// Version 4: header 48, trust domain 584, length 4, then the authentication data.
fn tdx_1_0() -> Quote {
    let fields = [632..633, 764..766, 1254..1256];
    Quote::new(tdx, "tdx/v4_quote.bin", &fields, 1258..4936)
}

/// Version 5: six bytes of a type and a length before a trust domain of 885 bytes. Its collateral
/// has the platform's certificates, so that nothing in the quote's own counts.
fn tdx_1_5() -> Quote {
    let fields = [1071..1073, 1559..1563, 1565..5247];
    Quote::new(tdx_v5, "tdx/v5_quote.bin", &fields, 1565..5247)
}

/// Version 3: header 48, enclave 384, length 4, then the authentication data.
fn sgx_enclave() -> Quote {
    let fields = [1048..1049, 1049..1050];
    Quote::new(sgx, "sgx/quote.bin", &fields, 1052..4600)
}

#[test]
fn every_signed_byte_of_a_quote_of_tdx_counts() {
    let looked_at = tdx_1_0().check(0xff, |_| true);
    assert_eq!(looked_at, 5006);
}

/// All that is not certificates, and of these some: all of them take too long for every day.
#[test]
fn every_signed_byte_of_a_quote_of_tdx_1_5_counts() {
    let looked_at = tdx_1_5().check(0xff, |offset| offset < 1565 || offset % 7 == 0);
    assert_eq!(looked_at, 1565 + 526);
}

/// As above.
#[test]
fn every_signed_byte_of_a_quote_of_sgx_counts() {
    let looked_at = sgx_enclave().check(0xff, |offset| offset < 1052 || offset % 7 == 0);
    assert_eq!(looked_at, 1052 + 507);
}

#[test]
#[ignore = "takes minutes: every bit of every byte of three quotes"]
fn every_signed_bit_of_every_quote_counts() {
    for quote in [tdx_1_0(), tdx_1_5(), sgx_enclave()] {
        for bit in 0..8 {
            let looked_at = quote.check(1 << bit, |_| true);
            assert_eq!(looked_at, quote.bytes.len());
        }
    }
}
