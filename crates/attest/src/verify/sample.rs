//! Evidence for tests: it proves nothing. There is no signature to check, so that all there is to
//! see is whether it has the form.

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::Value;

use crate::Tee;

use super::Basis;
use super::claims::{Claims, Platform, SampleClaims};
use super::collateral::Collateral;
use super::error::AuthenticError;

/// The longest report data of any platform, in bytes.
const REPORT_DATA_BYTES_MAX: usize = 64;
/// The longest security version, in characters. Everybody writes `1`.
const SVN_CHARS_MAX: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleEvidence<'a> {
    #[serde(borrow)]
    svn: &'a str,
    #[serde(borrow)]
    report_data: &'a str,
}

pub(super) fn sample(value: &Value, basis: &Basis<'_>) -> Result<Claims, AuthenticError> {
    if !matches!(basis.collateral, Collateral::None) {
        return Err(AuthenticError::OtherCollateral { tee: Tee::Sample });
    }
    let SampleEvidence { svn, report_data } =
        SampleEvidence::deserialize(value).map_err(|source| AuthenticError::Shape {
            tee: Tee::Sample,
            source,
        })?;
    let report_data =
        BASE64
            .decode(report_data.as_bytes())
            .map_err(|_| AuthenticError::Base64 {
                member: "report_data",
            })?;
    bounded("report_data", report_data.len(), REPORT_DATA_BYTES_MAX)?;
    bounded("svn", svn.len(), SVN_CHARS_MAX)?;
    Ok(Claims {
        platform: Platform::Sample(SampleClaims {
            svn: svn.to_owned(),
            report_data,
        }),
        valid_until: None,
    })
}

fn bounded(what: &'static str, bytes: usize, max: usize) -> Result<(), AuthenticError> {
    if bytes > max {
        return Err(AuthenticError::TooLong { what, bytes, max });
    }
    Ok(())
}
