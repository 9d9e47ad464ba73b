//! Evidence of Intel TDX: a quote, and the event log that explains its measurements.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::configfs::{self, Request};
use super::{AttestError, event_log, padded};
use crate::Tee;
use crate::detect::Machine;

const REQUEST: Request = Request {
    tee: Tee::Tdx,
    driver: "tdx_guest",
    module: "tdx-guest",
    privlevel: None,
    auxblob: false,
    report_data,
};

/// Of a quote's header, and of what version 5 has between it and the body: kind and size.
const HEADER_BYTES: usize = 48;
const BODY_KIND_BYTES: usize = 6;
/// Where the report data are in a body of TDX 1.0 and 1.5.
const REPORT_DATA_AT: usize = 520;

pub(super) fn evidence(machine: &dyn Machine, data: &[u8]) -> Result<Value, AttestError> {
    let (quote, _) = configfs::report(machine, &REQUEST, &padded(data)?)?;
    let log = event_log::read(machine).map(|log| BASE64.encode(&log));
    Ok(json!({ "cc_eventlog": log, "quote": BASE64.encode(&quote) }))
}

/// The report data of a quote of version 4 or 5.
fn report_data(quote: &[u8]) -> Option<&[u8]> {
    let body = match quote.first_chunk()? {
        [4, 0] => HEADER_BYTES,
        [5, 0] => HEADER_BYTES + BODY_KIND_BYTES,
        _ => return None,
    };
    quote.get(body + REPORT_DATA_AT..)?.get(..64)
}
