//! Reports of SEV-SNP by way of `/dev/sev-guest`, where the kernel has no configfs for them.
//!
//! ```text
//!  MSG_REPORT_RSP (SEV-SNP firmware ABI, table 25), numbers little-endian
//!  0   4   status        0: there is a report
//!  4   4   length        of the report
//!  8   24  reserved
//!  32  …   report
//! ```

use std::io::ErrorKind;

use super::configfs::Blobs;
use super::error::AttestError;
use crate::Tee;
use crate::detect::{Machine, SEV_GUEST};

/// Brokers take reports of no other level.
const LEVEL: u32 = 0;

const HEAD_BYTES: usize = 32;

/// A report about `data`, and the certificates that came along; `None` if there is no such device.
pub(super) fn report(machine: &dyn Machine, data: &[u8; 64]) -> Result<Option<Blobs>, AttestError> {
    let answered = match machine.sev_guest(data, LEVEL) {
        Ok(answered) => answered,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let path = SEV_GUEST.to_owned();
            return Err(AttestError::Denied { path });
        }
        Err(source) => {
            let tee = Tee::Snp;
            return Err(AttestError::Refused { tee, source });
        }
    };
    let report = found(&answered.answer)?;
    // The request went to the device itself, whose answers belong to whoever asked.
    if report.get(0x50..0x90) != Some(data) {
        return Err(malformed(
            "its report is about other data than was asked for",
        ));
    }
    Ok(Some((report.to_vec(), answered.certificates)))
}

/// The report in an answer.
fn found(answer: &[u8]) -> Result<&[u8], AttestError> {
    let head = answer.split_at_checked(HEAD_BYTES);
    let (head, rest) = head.ok_or_else(|| malformed("its answer ends too early"))?;
    let number = |at: usize| {
        let bytes = head[at..].first_chunk();
        u32::from_le_bytes(*bytes.expect("the head has 32 bytes"))
    };
    match number(0) {
        0 => {}
        0x16 => return Err(AttestError::Level(ErrorKind::InvalidInput.into())),
        _ => {
            return Err(malformed(
                "the firmware's answer has a status that is not known here",
            ));
        }
    }
    let len = usize::try_from(number(4)).ok();
    let report = len.and_then(|len| rest.get(..len));
    match report {
        Some([]) => Err(AttestError::Empty { tee: Tee::Snp }),
        Some(report) => Ok(report),
        None => Err(malformed("its report is longer than the answer")),
    }
}

fn malformed(what: &'static str) -> AttestError {
    AttestError::Malformed {
        tee: Tee::Snp,
        what,
        source: None,
    }
}
