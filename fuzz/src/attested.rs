//! What key brokers and their clients are told: addresses, evidence and policies.

use std::sync::LazyLock;
use std::time::Duration;

use propeller_attest::Tee;
use propeller_attest::rcar::{KbsAddress, KbsUri, ResourcePath};
use propeller_attest::snp_report::SnpReport;
use propeller_attest::verify::{
    Anchors, Basis, Collateral, DcapCollateral, Evidence, SnpChain, UnixTime, authenticate,
};
use propeller_keybroker::policy::Policy;
use serde_json::Value;

use crate::images::plain;

/// 2025-07-01, when the collateral of the samples is valid.
const NOW_SECS: u64 = 1_751_328_000;
/// Of a key broker's policy.
const RULES_MAX: usize = 1000;

/// Names of keys and addresses of brokers: what is read says in other words where it leads.
pub(crate) fn kbs_uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<ResourcePath>() {
        Ok(path) => {
            plain(&path);
            assert_eq!(path.to_string().parse(), Ok(path));
        }
        Err(error) => plain(&error),
    }
    match text.parse::<KbsUri>() {
        Ok(uri) => {
            plain(&uri);
            assert_eq!(uri.to_string().parse(), Ok(uri));
        }
        Err(error) => plain(&error),
    }
    for allow_http in [false, true] {
        match KbsAddress::parse(text, allow_http, "ALLOW") {
            Ok(address) => address_again(&address, allow_http),
            Err(error) => plain(&error),
        }
    }
}

fn address_again(address: &KbsAddress, allow_http: bool) {
    let text = address.to_string();
    let again = KbsAddress::parse(&text, allow_http, "ALLOW").expect("it was one");
    assert_eq!(again.to_string(), text);
    assert!(address.is(&address.host()), "{text}");
    let begins = |begin: &&str| text.starts_with(begin);
    let here = ["http://localhost", "http://127.", "http://[::1]"];
    assert!(
        allow_http || text.starts_with("https://") || here.iter().any(begins),
        "{text}"
    );
}

/// Reports of SEV-SNP: both forms say the same, and nothing else is one.
pub(crate) fn snp_report(data: &[u8]) {
    match SnpReport::from_bytes(data) {
        Ok(report) => {
            assert_eq!(report.to_bytes().as_slice(), data);
            let again = SnpReport::from_json(&report.to_json());
            assert_eq!(again.ok(), Some(report));
        }
        Err(error) => plain(&error),
    }
    let Ok(json) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    match SnpReport::from_json(&json) {
        Ok(report) => {
            assert_eq!(report.to_json(), json);
            let again = SnpReport::from_bytes(report.to_bytes());
            assert_eq!(again.ok(), Some(report));
        }
        Err(error) => plain(&error),
    }
}

/// A kind of evidence, and what a vendor says about the platform of its sample.
struct Kind {
    tee: Tee,
    collateral: Collateral,
    /// What the sample says.
    genuine: Option<String>,
}

static ANCHORS: LazyLock<Anchors> = LazyLock::new(Anchors::vendors);

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let dcap = |json| {
        let collateral = DcapCollateral::from_json(json).expect("it is collateral");
        Collateral::Dcap(Box::new(collateral))
    };
    let tdx = dcap(include_bytes!("../../testdata/attest/tdx/v4_collateral.json").as_slice());
    let sgx = dcap(include_bytes!("../../testdata/attest/sgx/collateral.json").as_slice());
    let snp = Collateral::Snp(SnpChain {
        vcek: Some(include_bytes!("../../testdata/attest/snp/milan_vcek.der").to_vec()),
        ..SnpChain::default()
    });
    let sampled = |tee, collateral, sample: &[u8]| {
        let value = serde_json::from_slice(sample).expect("it is JSON");
        let genuine = said(tee, &collateral, &value).expect("it is genuine");
        Kind {
            tee,
            collateral,
            genuine: Some(genuine),
        }
    };
    let snp_sample = include_bytes!("../corpus/evidence/snp");
    let mut kinds = vec![
        sampled(Tee::Tdx, tdx, include_bytes!("../corpus/evidence/tdx")),
        sampled(Tee::Sgx, sgx, include_bytes!("../corpus/evidence/sgx")),
        sampled(Tee::Snp, snp, snp_sample),
        // It brings its certificates.
        sampled(Tee::Snp, Collateral::None, snp_sample),
    ];
    kinds.extend(Tee::ALL.map(|tee| Kind {
        tee,
        collateral: Collateral::None,
        genuine: None,
    }));
    kinds
});

/// Evidence of every kind: what is authentic says what its sample says.
pub(crate) fn evidence(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    for kind in KINDS.iter() {
        let Some(said) = said(kind.tee, &kind.collateral, &value) else {
            continue;
        };
        match &kind.genuine {
            Some(genuine) => assert_eq!(&said, genuine, "{}: forged", kind.tee),
            // Without collateral: nobody vouches for `sample`, and certificates may come along.
            None => assert!(matches!(kind.tee, Tee::Sample | Tee::Snp), "{}", kind.tee),
        }
    }
}

/// What evidence says if it is authentic; why it is not is told in few plain words.
fn said(tee: Tee, collateral: &Collateral, value: &Value) -> Option<String> {
    let basis = Basis {
        collateral,
        anchors: &ANCHORS,
        now: UnixTime::since_unix_epoch(Duration::from_secs(NOW_SECS)),
    };
    match authenticate(&Evidence { tee, value }, &basis) {
        Ok(claims) => {
            assert_eq!(claims.tee(), tee);
            Some(format!("{claims:?}"))
        }
        Err(error) => {
            plain(&error);
            None
        }
    }
}

/// Policies of key brokers: rules within bounds, or a line of the text that is wrong.
pub(crate) fn kbs_policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Policy::parse(text) {
        Ok(policy) => assert!(policy.len() <= RULES_MAX),
        Err(error) => {
            let lines = text.matches('\n').count() + 1;
            assert!((1..=lines).contains(&error.line), "line {}", error.line);
            assert!(!error.why.is_empty());
        }
    }
}
