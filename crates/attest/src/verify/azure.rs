//! Evidence of Azure's confidential virtual machines: what the hardware says about the paravisor, and
//! what the paravisor's TPM says about the guest.
//!
//! ```text
//!  vendor ─▶ report of SEV-SNP or quote of TDX ─▶ SHA-256 of the runtime data ─▶ the TPM's key
//!            the paravisor, and the hardware                                     ─▶ quote: report
//!                                                                                   data, registers
//! ```
//!
//! Every step is checked here; whether what is found is good, is for the policy to say. The forms
//! are versions 1 and 2 of what the attestation-agent of Confidential Containers sends. Of the runtime
//! data of version 2, what repeats the report data is not looked at: the quote says the same.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use data_encoding::{BASE64URL, BASE64URL_NOPAD, Encoding, HEXLOWER_PERMISSIVE};
use serde::Deserialize;
use serde_json::Value;

use crate::Tee;
use crate::hcl::{self, Report};
use crate::snp_report::{REPORT_BYTES, SnpReport};
use crate::tpm::attested::{Quoted, REGISTERS};

use super::Basis;
use super::claims::{AzureClaims, AzureGuest, Claims, Platform};
use super::collateral::{Collateral, SnpChain};
use super::dcap;
use super::error::{AuthenticError, AzureError};
use super::measurement::Measurement;
use super::snp;

/// Of the paravisor's report, and of the quote of TDX.
const MEMBER_BYTES_MAX: usize = 64 * 1024;
/// Of what a TPM signs, and of its signature.
const TPM_BYTES_MAX: usize = 4096;
/// What the paravisor calls the key with which the TPM signs.
const KEY: &str = "HCLAkPub";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnpEvidence<'a> {
    version: u32,
    #[serde(borrow)]
    tpm_quote: TpmQuote<'a>,
    hcl_report: &'a str,
    vcek: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TdxEvidence<'a> {
    version: u32,
    #[serde(borrow)]
    tpm_quote: TpmQuote<'a>,
    hcl_report: &'a str,
    td_quote: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TpmQuote<'a> {
    signature: &'a str,
    message: &'a str,
    #[serde(borrow)]
    pcrs: Vec<&'a str>,
}

/// What the paravisor says about itself.
#[derive(Deserialize)]
struct RuntimeData {
    keys: Vec<Key>,
    #[serde(default, rename = "vm-configuration")]
    configuration: Value,
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    kid: String,
    #[serde(default)]
    kty: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

/// What the quote of the TPM says.
struct Guest {
    report_data: Vec<u8>,
    registers: [Measurement<32>; REGISTERS],
    configuration: Value,
    /// SHA-256 of the runtime data, which the hardware has to vouch for.
    runtime_data: [u8; 32],
}

pub(super) fn snp(value: &Value, basis: &Basis<'_>) -> Result<Claims, AuthenticError> {
    let tee = Tee::AzSnpVtpm;
    let evidence = SnpEvidence::deserialize(value);
    let evidence = evidence.map_err(|source| AuthenticError::Shape { tee, source })?;
    version(tee, evidence.version)?;
    let report = paravisor(tee, evidence.hcl_report)?;
    let guest = guest(&report, &evidence.tpm_quote)?;
    let hardware = hcl::hardware(&report).and_then(|room| room.get(..REPORT_BYTES));
    let hardware = SnpReport::from_bytes(hardware.unwrap_or_default())?;
    vouches(&hardware.report_data(), &guest)?;
    let brought = SnpChain {
        vcek: Some(decode("vcek", evidence.vcek)?),
        ..SnpChain::default()
    };
    let chain = match basis.collateral {
        Collateral::Snp(chain) => chain,
        Collateral::Dcap(_) => return Err(AuthenticError::OtherCollateral { tee }),
        Collateral::None => &brought,
    };
    let (hardware, until) = snp::authentic(hardware, chain, basis)?;
    Ok(guest.claims(AzureGuest::Snp(hardware), Some(until)))
}

pub(super) fn tdx(value: &Value, basis: &Basis<'_>) -> Result<Claims, AuthenticError> {
    let tee = Tee::AzTdxVtpm;
    let evidence = TdxEvidence::deserialize(value);
    let evidence = evidence.map_err(|source| AuthenticError::Shape { tee, source })?;
    version(tee, evidence.version)?;
    let report = paravisor(tee, evidence.hcl_report)?;
    let guest = guest(&report, &evidence.tpm_quote)?;
    let quote = decode("td_quote", evidence.td_quote)?;
    let (hardware, until) = dcap::trust_domain(&quote, tee, basis)?;
    vouches(&hardware.report_data, &guest)?;
    Ok(guest.claims(AzureGuest::Tdx(Box::new(hardware)), Some(until)))
}

impl Guest {
    fn claims(self, guest: AzureGuest, valid_until: Option<super::UnixTime>) -> Claims {
        let claims = AzureClaims {
            guest,
            registers: self.registers,
            configuration: self.configuration,
            report_data: self.report_data,
        };
        Claims {
            platform: Platform::Azure(Box::new(claims)),
            valid_until,
        }
    }
}

fn version(tee: Tee, found: u32) -> Result<(), AuthenticError> {
    match found {
        1 | 2 => Ok(()),
        _ => Err(AzureError::Version { tee, found }.into()),
    }
}

/// The paravisor's report, which says that it is of this kind.
fn paravisor(tee: Tee, text: &str) -> Result<Vec<u8>, AuthenticError> {
    let report = decode("hcl_report", text)?;
    match hcl::report(&report) {
        Report::Of(found) if found == tee => Ok(report),
        _ => Err(AzureError::Report.into()),
    }
}

/// What the key in the runtime data has signed.
fn guest(report: &[u8], quote: &TpmQuote<'_>) -> Result<Guest, AuthenticError> {
    let json = hcl::runtime_data(report).ok_or(AzureError::Report)?;
    let data: RuntimeData = serde_json::from_slice(json).map_err(|_| AzureError::Key)?;
    let message = tpm_bytes("message", quote.message)?;
    let signature = tpm_bytes("signature", quote.signature)?;
    let key = data.key().ok_or(AzureError::Key)?;
    key.verify(&RSA_PKCS1_2048_8192_SHA256, &message, &signature)
        .map_err(|_| AzureError::Signature)?;
    let quoted = Quoted::read(&message).map_err(|_| AzureError::Quote)?;
    let registers = quote.pcrs.iter().map(|text| text.parse());
    let registers: Result<Vec<Measurement<32>>, _> = registers.collect();
    let registers = registers.map_err(|_| AzureError::Registers)?;
    let registers: [_; REGISTERS] = registers.try_into().map_err(|_| AzureError::Registers)?;
    let all: Vec<u8> = registers.iter().flat_map(|one| one.0).collect();
    if digest(&SHA256, &all).as_ref() != quoted.registers {
        return Err(AzureError::Registers.into());
    }
    let runtime_data = digest(&SHA256, json);
    Ok(Guest {
        report_data: quoted.data.to_vec(),
        registers,
        configuration: data.configuration,
        runtime_data: runtime_data
            .as_ref()
            .try_into()
            .expect("SHA-256 has 32 bytes"),
    })
}

impl RuntimeData {
    /// The TPM's. There is one, or it is not said which.
    fn key(&self) -> Option<RsaPublicKeyComponents<Vec<u8>>> {
        let mut keys = self.keys.iter().filter(|key| key.kid == KEY);
        let key = keys.next().filter(|key| key.kty == "RSA")?;
        let number = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        match keys.next() {
            None => Some(RsaPublicKeyComponents {
                n: number(&key.n)?,
                e: number(&key.e)?,
            }),
            Some(_) => None,
        }
    }
}

/// That the hardware's report is about this runtime data.
fn vouches(report_data: &[u8; 64], guest: &Guest) -> Result<(), AuthenticError> {
    let (hash, rest) = report_data.split_at(guest.runtime_data.len());
    match hash == guest.runtime_data && rest.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(AzureError::RuntimeData.into()),
    }
}

fn decode(member: &'static str, text: &str) -> Result<Vec<u8>, AuthenticError> {
    let malformed = || AzureError::Encoding {
        member,
        encoding: "base64 for URLs with padding",
    };
    bounded(member, text, &BASE64URL, MEMBER_BYTES_MAX)?.ok_or_else(|| malformed().into())
}

fn tpm_bytes(member: &'static str, text: &str) -> Result<Vec<u8>, AuthenticError> {
    let malformed = || AzureError::Encoding {
        member,
        encoding: "hexadecimal",
    };
    bounded(member, text, &HEXLOWER_PERMISSIVE, TPM_BYTES_MAX)?.ok_or_else(|| malformed().into())
}

fn bounded(
    what: &'static str,
    text: &str,
    encoding: &Encoding,
    max: usize,
) -> Result<Option<Vec<u8>>, AuthenticError> {
    match encoding.decode_len(text.len()) {
        Ok(bytes) if bytes > max => Err(AuthenticError::TooLong { what, bytes, max }),
        Ok(_) => Ok(encoding.decode(text.as_bytes()).ok()),
        Err(_) => Ok(None),
    }
}
