//! Evidence of Intel SGX in Gramine, which makes quotes through files that exist in its enclaves only.

use std::io::{self, ErrorKind};

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::error::{AttestError, Contention};
use super::padded;
use crate::Tee;
use crate::detect::Machine;

const KIND: &str = "/dev/attestation/attestation_type";
const REPORT_DATA: &str = "/dev/attestation/user_report_data";
const QUOTE: &str = "/dev/attestation/quote";

const KIND_BYTES_MAX: usize = 64;
/// Quotes have about 5 KiB.
const QUOTE_BYTES_MAX: usize = 64 << 10;

/// How often a quote is asked for while other threads ask for theirs: the files are one for all.
const TRIES: u32 = 5;

/// Where the report data are in a quote: behind 48 bytes of header, in the report's last 64 bytes.
const REPORT_DATA_AT: usize = 48 + 320;

pub(super) fn evidence(machine: &dyn Machine, data: &[u8]) -> Result<Value, AttestError> {
    let data = padded(data)?;
    match machine.read(KIND, KIND_BYTES_MAX) {
        Ok(kind) if kind.trim_ascii() == b"dcap" => {}
        Ok(kind) => {
            let found = String::from_utf8_lossy(&kind).trim().to_owned();
            return Err(AttestError::OtherGramine { found });
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(AttestError::NoGramine),
        Err(error) => return Err(failed("read", KIND, error)),
    }
    for _ in 0..TRIES {
        let written = machine.write(REPORT_DATA, &data);
        written.map_err(|error| failed("write", REPORT_DATA, error))?;
        let quote = machine.read(QUOTE, QUOTE_BYTES_MAX).map_err(unquoted)?;
        if report_data(&quote)? == data {
            return Ok(json!({ "quote": BASE64.encode(&quote) }));
        }
    }
    Err(AttestError::Contended {
        contention: Contention::Foreign,
        tries: TRIES,
    })
}

/// The report data of a quote of version 3, or of version 4 about an enclave.
fn report_data(quote: &[u8]) -> Result<&[u8], AttestError> {
    let tee = Tee::Sgx;
    if quote.is_empty() {
        return Err(AttestError::Empty { tee });
    }
    let known = quote.starts_with(&[3, 0]) || quote.starts_with(&[4, 0]);
    let found = quote
        .get(REPORT_DATA_AT..)
        .and_then(|rest| rest.get(..64))
        .filter(|_| known);
    found.ok_or(AttestError::Malformed {
        tee,
        what: "it has no version that is known here, or ends too early",
        source: None,
    })
}

fn unquoted(source: io::Error) -> AttestError {
    match source.kind() {
        ErrorKind::PermissionDenied => failed("read", QUOTE, source),
        _ => AttestError::Refused {
            tee: Tee::Sgx,
            source,
        },
    }
}

fn failed(step: &'static str, path: &str, source: io::Error) -> AttestError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::PermissionDenied => AttestError::Denied { path },
        _ => AttestError::Kernel { step, path, source },
    }
}
