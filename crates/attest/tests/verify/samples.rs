//! Genuine evidence from `testdata/attest`, and judging it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use data_encoding::BASE64;
use propeller_attest::Tee;
use propeller_attest::snp_report::{SnpReport, SnpTcb};
use propeller_attest::verify::{
    Anchors, Approved, AuthenticError, Basis, Claims, Collateral, DcapCollateral, DcapPolicy,
    Evidence, Policy, Rule, SgxPolicy, SnpChain, SnpPolicy, TcbStatus, TdxPolicy, UnixTime,
    authenticate,
};
use serde_json::{Value, json};

/// A file of `testdata/attest`.
pub(crate) fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/attest")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn seconds(now: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(now))
}

/// One piece of evidence, and what it is judged by.
pub(crate) struct Case {
    pub(crate) tee: Tee,
    pub(crate) value: Value,
    pub(crate) collateral: Collateral,
    pub(crate) anchors: Anchors,
    pub(crate) now: u64,
}

impl Case {
    pub(crate) fn authenticate(&self) -> Result<Claims, AuthenticError> {
        let evidence = Evidence {
            tee: self.tee,
            value: &self.value,
        };
        let basis = Basis {
            collateral: &self.collateral,
            anchors: &self.anchors,
            now: seconds(self.now),
        };
        authenticate(&evidence, &basis)
    }

    pub(crate) fn claims(&self) -> Claims {
        self.authenticate()
            .unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    /// The whole chain of causes, in one line.
    pub(crate) fn refusal(&self) -> String {
        match self.authenticate() {
            Ok(claims) => panic!("authentic: {claims:?}"),
            Err(error) => chain(&error),
        }
    }
}

/// What the vendors say, and `collateral`.
pub(crate) fn basis(collateral: &Collateral, now: UnixTime) -> Basis<'_> {
    static VENDORS: LazyLock<Anchors> = LazyLock::new(Anchors::vendors);
    Basis {
        collateral,
        anchors: &VENDORS,
        now,
    }
}

/// An error with its sources.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// 2025-07-01, when the collateral of the quotes in versions 3 and 4 is valid.
pub(crate) const JULY_2025: u64 = 1_751_328_000;
/// 2026-03-01, when that of the outdated quote is.
pub(crate) const MARCH_2026: u64 = 1_772_323_200;
/// 2026-10-20, when that of the quote in version 5 is.
pub(crate) const OCTOBER_2026: u64 = 1_792_454_400;

fn quote(tee: Tee, quote: &str, collateral: &str, now: u64) -> Case {
    let quote = BASE64.encode(&file(quote));
    let value = match tee {
        Tee::Tdx => json!({"cc_eventlog": null, "quote": quote}),
        _ => json!({"quote": quote}),
    };
    let collateral = DcapCollateral::from_json(&file(collateral)).unwrap();
    Case {
        tee,
        value,
        collateral: Collateral::Dcap(Box::new(collateral)),
        anchors: Anchors::vendors(),
        now,
    }
}

/// A quote of TDX 1.0, version 4, from a platform that is up to date.
pub(crate) fn tdx() -> Case {
    quote(
        Tee::Tdx,
        "tdx/v4_quote.bin",
        "tdx/v4_collateral.json",
        JULY_2025,
    )
}

/// A quote of TDX 1.5, version 5, with collateral that has the platform's certificates.
pub(crate) fn tdx_v5() -> Case {
    quote(
        Tee::Tdx,
        "tdx/v5_quote.bin",
        "tdx/v5_collateral.json",
        OCTOBER_2026,
    )
}

/// A quote from a platform that is older than every TCB level that Intel lists.
pub(crate) fn tdx_outdated() -> Case {
    quote(
        Tee::Tdx,
        "tdx/outdated_quote.bin",
        "tdx/outdated_collateral.json",
        MARCH_2026,
    )
}

/// A quote of SGX, version 3.
pub(crate) fn sgx() -> Case {
    quote(Tee::Sgx, "sgx/quote.bin", "sgx/collateral.json", JULY_2025)
}

/// A report of Milan, version 2, and the key of its chip.
pub(crate) fn milan() -> Case {
    let report = SnpReport::from_bytes(&file("snp/milan_report.bin")).unwrap();
    Case {
        tee: Tee::Snp,
        value: json!({"attestation_report": report.to_json(), "cert_chain": null}),
        collateral: Collateral::Snp(SnpChain {
            vcek: Some(file("snp/milan_vcek.der")),
            ..SnpChain::default()
        }),
        anchors: Anchors::vendors(),
        now: JULY_2025,
    }
}

/// A policy that accepts every genuine sample, so that a test changes one thing in it.
pub(crate) fn lenient() -> Policy {
    let platform = DcapPolicy {
        statuses: BTreeSet::from(TcbStatus::ALL),
        evaluation_min: 0,
    };
    let mut tdx = TdxPolicy::new(Approved::Any);
    tdx.platform = platform.clone();
    let mut sgx = SgxPolicy::new(Approved::Any);
    sgx.platform = platform;
    let mut snp = SnpPolicy::new(Approved::Any, SnpTcb::default());
    snp.versions = 2..=5;
    Policy {
        sample: Rule::Refuse,
        tdx: Some(tdx),
        sgx: Some(sgx),
        snp: Some(snp),
        ..Policy::default()
    }
}
