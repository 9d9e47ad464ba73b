//! Evidence of Azure's confidential virtual machines, whose guest does not see the hardware: a
//! paravisor above it does, and gives it a virtual TPM.
//!
//! ```text
//!  index 0x01400001 ─▶ the paravisor's report: the hardware's, and the key with which the TPM signs
//!  key 0x81000003   ─▶ a quote of the TPM about the report data
//!  metadata service ─▶ SEV-SNP: the certificate of the chip's key; TDX: a quote for the report
//! ```
//!
//! The JSON is version 1 of what the attestation-agent of Confidential Containers sends. In its
//! version 2 the report data are in the hardware's report as well, which takes the paravisor three
//! seconds each time and says nothing that the quote does not: the same paravisor makes both.

use std::io::ErrorKind;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64URL, BASE64URL_NOPAD, HEXLOWER};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::error::{AttestError, Contention};
use crate::Tee;
use crate::detect::{Machine, TPM};
use crate::hcl::{self, Report};
use crate::tpm::attested::Quoted;
use crate::tpm::{TpmError, nv, quote};

/// The key with which the TPM signs quotes, as the paravisor keeps it.
const KEY: u32 = 0x8100_0003;

/// How often a quote is asked for while something is measured meanwhile.
const TRIES: u32 = 5;

/// A report of TDX (`TDREPORT_STRUCT`); the room in the paravisor's is longer.
const TD_REPORT_BYTES: usize = 1024;

pub(super) fn snp(machine: &dyn Machine, data: &[u8]) -> Result<Value, AttestError> {
    let tee = Tee::AzSnpVtpm;
    let report = report(machine, tee)?;
    let quote = tpm_quote(machine, tee, data)?;
    let vcek = vcek(machine)?;
    Ok(json!({
        "version": 1,
        "tpm_quote": quote,
        "hcl_report": BASE64URL.encode(&report),
        "vcek": BASE64URL.encode(&vcek),
    }))
}

pub(super) fn tdx(machine: &dyn Machine, data: &[u8]) -> Result<Value, AttestError> {
    let tee = Tee::AzTdxVtpm;
    let report = report(machine, tee)?;
    let quote = tpm_quote(machine, tee, data)?;
    let td_quote = td_quote(machine, &report)?;
    Ok(json!({
        "version": 1,
        "tpm_quote": quote,
        "hcl_report": BASE64URL.encode(&report),
        "td_quote": BASE64URL.encode(&td_quote),
    }))
}

/// What the paravisor left in the TPM.
fn report(machine: &dyn Machine, tee: Tee) -> Result<Vec<u8>, AttestError> {
    let report = nv::index(machine, hcl::INDEX, u16::MAX).map_err(|error| failed(tee, error))?;
    let report = report.ok_or_else(|| malformed(tee, "the TPM has no report of a paravisor"))?;
    match hcl::report(&report) {
        Report::Of(found) if found == tee => Ok(report),
        _ => Err(malformed(tee, "the paravisor's report is of another kind")),
    }
}

/// A quote, and the registers that it is about.
fn tpm_quote(machine: &dyn Machine, tee: Tee, data: &[u8]) -> Result<Value, AttestError> {
    let failed = |error| failed(tee, error);
    for _ in 0..TRIES {
        let quote = quote::quote(machine, KEY, data).map_err(failed)?;
        let registers = quote::registers(machine).map_err(failed)?;
        let hash = digest(&SHA256, &registers.concat());
        if Quoted::read(&quote.message).map_err(failed)?.registers == hash.as_ref() {
            let registers = registers.iter().map(|value| HEXLOWER.encode(value));
            return Ok(json!({
                "signature": HEXLOWER.encode(&quote.signature),
                "message": HEXLOWER.encode(&quote.message),
                "pcrs": registers.collect::<Vec<_>>(),
            }));
        }
    }
    Err(AttestError::Contended {
        contention: Contention::Measured,
        tries: TRIES,
    })
}

/// The certificate of the chip's key, as DER.
fn vcek(machine: &dyn Machine) -> Result<Vec<u8>, AttestError> {
    let answer = metadata(
        machine,
        "certificate",
        "/metadata/THIM/amd/certification",
        None,
    )?;
    let pem = answer.get("vcekCert").and_then(Value::as_str);
    let der = pem.and_then(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).ok());
    let der = der.ok_or_else(|| {
        malformed(
            Tee::AzSnpVtpm,
            "`vcekCert` of the metadata service is no certificate in PEM",
        )
    })?;
    Ok(der.to_vec())
}

/// The quote that the host has made of the hardware's report.
fn td_quote(machine: &dyn Machine, report: &[u8]) -> Result<Vec<u8>, AttestError> {
    let tee = Tee::AzTdxVtpm;
    let report = hcl::hardware(report).and_then(|room| room.get(..TD_REPORT_BYTES));
    let report = report.ok_or_else(|| malformed(tee, "the paravisor's report ends too early"))?;
    let body = json!({ "report": BASE64URL_NOPAD.encode(report) });
    let answer = metadata(machine, "quote", "/acc/tdquote", Some(&body))?;
    let quote = answer.get("quote").and_then(Value::as_str);
    let quote = quote.map(|quote| BASE64URL_NOPAD.decode(quote.trim_end_matches('=').as_bytes()));
    match quote {
        Some(Ok(quote)) if quote.is_empty() => Err(AttestError::Empty { tee }),
        Some(Ok(quote)) => Ok(quote),
        _ => Err(malformed(
            tee,
            "`quote` of the metadata service is not base64 for URLs",
        )),
    }
}

fn metadata(
    machine: &dyn Machine,
    what: &'static str,
    path: &str,
    json: Option<&Value>,
) -> Result<Value, AttestError> {
    let answer = machine.metadata(path, json);
    answer.map_err(|source| AttestError::Metadata { what, source })
}

fn failed(tee: Tee, error: TpmError) -> AttestError {
    match error {
        TpmError::Kernel(error) if error.kind() == ErrorKind::NotFound => {
            AttestError::NoTpm { tee }
        }
        TpmError::Kernel(error) if error.kind() == ErrorKind::PermissionDenied => {
            let path = TPM.to_owned();
            AttestError::Denied { path }
        }
        error => AttestError::Tpm {
            source: Box::new(error),
        },
    }
}

fn malformed(tee: Tee, what: &'static str) -> AttestError {
    AttestError::Malformed {
        tee,
        what,
        source: None,
    }
}
