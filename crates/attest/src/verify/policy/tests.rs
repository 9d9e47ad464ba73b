//! What no genuine evidence at hand says: that its host can see inside, and each TCB status.

use super::super::claims::{DcapTcb, SgxClaims};
use super::*;

fn tcb() -> DcapTcb {
    DcapTcb {
        status: TcbStatus::UpToDate,
        advisories: Vec::new(),
        evaluation: 1,
        fmspc: [0; 6],
    }
}

/// SEPT_VE_DISABLE, as everybody sets it, and `attributes`.
fn trust_domain(attributes: u64) -> Claims {
    let zero = Measurement([0; 48]);
    let claims = TdxClaims {
        measurement: zero,
        registers: [zero; 4],
        config_id: zero,
        owner: zero,
        owner_config: zero,
        module: zero,
        attributes: attributes | 1 << 28,
        xfam: 0,
        report_data: [0; 64],
        tcb: tcb(),
    };
    Claims {
        platform: Platform::Tdx(Box::new(claims)),
        valid_until: None,
    }
}

/// INIT and MODE64BIT, and `attributes`.
fn enclave(attributes: u64) -> Claims {
    let claims = SgxClaims {
        measurement: Measurement([0; 32]),
        signer: Measurement([0; 32]),
        product: 0,
        svn: 0,
        attributes: attributes | 0b101,
        report_data: [0; 64],
        tcb: tcb(),
    };
    Claims {
        platform: Platform::Sgx(Box::new(claims)),
        valid_until: None,
    }
}

fn judge(claims: &Claims, debug: Rule) -> Result<Verdict, Refused> {
    let mut tdx = TdxPolicy::new(Approved::Any);
    tdx.debug = debug;
    let mut sgx = SgxPolicy::new(Approved::Any);
    sgx.debug = debug;
    let policy = Policy {
        tdx: Some(tdx),
        sgx: Some(sgx),
        ..Policy::default()
    };
    policy.judge(claims, &about(&[0; 48]))
}

fn about(report_data: &[u8]) -> Expected<'_> {
    Expected {
        report_data,
        init_data: None,
    }
}

#[test]
fn debug_mode_is_refused_unless_the_policy_allows_it() {
    // TDX: debugging, and the three kinds of profiling.
    let mut open: Vec<Claims> = [0, 4, 5, 6].map(|bit| trust_domain(1 << bit)).into();
    open.push(enclave(0b10));
    for claims in &open {
        let refused = judge(claims, Rule::Refuse).unwrap_err();
        assert_eq!(refused.findings(), [Finding::Debug]);
        let verdict = judge(claims, Rule::Allow).unwrap();
        let status = verdict.status();
        assert_eq!(status, super::super::verdict::EarStatus::Contraindicated);
    }
    for claims in [trust_domain(0), enclave(0)] {
        judge(&claims, Rule::Refuse).unwrap();
    }
}

#[test]
fn each_status_is_accepted_if_it_is_named_and_only_then() {
    for status in TcbStatus::ALL {
        let found = DcapTcb { status, ..tcb() };
        for named in TcbStatus::ALL {
            let policy = DcapPolicy {
                statuses: BTreeSet::from([named]),
                evaluation_min: 1,
            };
            let findings = policy.against(&found);
            assert_eq!(findings.is_empty(), status == named, "{status} for {named}");
        }
    }
}

#[test]
fn no_evidence_is_about_nothing() {
    let sample = Claims {
        platform: Platform::Sample(SampleClaims {
            svn: "1".to_owned(),
            report_data: Vec::new(),
        }),
        valid_until: None,
    };
    let policy = Policy {
        sample: Rule::Allow,
        tdx: Some(TdxPolicy::new(Approved::Any)),
        ..Policy::default()
    };
    for claims in [sample, trust_domain(0)] {
        let refused = policy.judge(&claims, &about(&[])).unwrap_err();
        assert_eq!(refused.findings(), [Finding::ReportData]);
    }
}
