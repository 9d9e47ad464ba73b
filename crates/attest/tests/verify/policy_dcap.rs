//! What policies make of genuine quotes of TDX and SGX.

use std::collections::BTreeSet;

use propeller_attest::verify::{
    Approved, Expected, Finding, Measurement, Policy, Rule, SgxPolicy, TcbStatus, TdxPolicy,
    Verdict,
};

use super::samples::{Case, lenient, sgx, tdx, tdx_v5};

/// Expects the case's own report data, or less of it.
fn judge(case: &Case, policy: &Policy) -> Result<Verdict, Vec<Finding>> {
    let claims = case.claims();
    let report_data = claims.report_data();
    judge_for(
        case,
        policy,
        &Expected {
            report_data: &report_data,
            init_data: None,
        },
    )
}

fn judge_for(
    case: &Case,
    policy: &Policy,
    expected: &Expected<'_>,
) -> Result<Verdict, Vec<Finding>> {
    let judged = policy.judge(&case.claims(), expected);
    judged.map_err(|refused| refused.findings().to_vec())
}

fn tdx_policy(change: impl FnOnce(&mut TdxPolicy)) -> Policy {
    let mut policy = lenient();
    change(policy.tdx.as_mut().unwrap());
    policy
}

fn sgx_policy(change: impl FnOnce(&mut SgxPolicy)) -> Policy {
    let mut policy = lenient();
    change(policy.sgx.as_mut().unwrap());
    policy
}

fn check(case: &Case, policy: &Policy, refusal: &str) {
    let findings = judge(case, policy).unwrap_err();
    let [finding] = &findings[..] else {
        panic!("{findings:?}")
    };
    let text = finding.to_string();
    assert!(text.starts_with(refusal), "{text}");
}

#[test]
fn the_default_policy_accepts_nothing() {
    let policy = Policy::default();
    check(
        &tdx(),
        &policy,
        "the policy accepts no evidence of kind `tdx`",
    );
    check(
        &sgx(),
        &policy,
        "the policy accepts no evidence of kind `sgx`",
    );
}

#[test]
fn a_quote_that_is_wanted_is_accepted() {
    let mrtd = "91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407de03ae6dc5f87f27428b2538873118b7";
    let approved = [mrtd.parse().unwrap()].into_iter().collect();
    let policy = Policy {
        tdx: Some(TdxPolicy::new(approved)),
        ..Policy::default()
    };
    let verdict = judge(&tdx(), &policy).unwrap();
    assert_eq!(verdict.label(), "tdx");
    assert_eq!(verdict.claims().measurement().as_deref(), Some(mrtd));
}

#[test]
fn a_measurement_that_is_not_approved_is_refused() {
    let other = || [Measurement([0; 48])].into_iter().collect::<Approved<_>>();
    let policy = tdx_policy(|policy| policy.measurements = other());
    check(&tdx(), &policy, "MRTD is 91eb2b44");
    let none = tdx_policy(|policy| policy.measurements = [].into_iter().collect());
    check(&tdx(), &none, "MRTD is 91eb2b44");
    for (index, refusal) in [
        "RTMR0 is 44c0197b",
        "RTMR1 is 0084452c",
        "RTMR2 is d833feef",
    ]
    .into_iter()
    .enumerate()
    {
        let policy = tdx_policy(|policy| policy.registers[index] = other());
        check(&tdx(), &policy, refusal);
    }
    // The last register of this quote is zero.
    let policy = tdx_policy(|policy| policy.registers[3] = other());
    judge(&tdx(), &policy).unwrap();
}

#[test]
fn an_enclave_or_an_author_that_is_not_approved_is_refused() {
    let other = || [Measurement([0; 32])].into_iter().collect::<Approved<_>>();
    let policy = sgx_policy(|policy| policy.measurements = other());
    check(&sgx(), &policy, "MRENCLAVE is 33d8736d");
    let policy = sgx_policy(|policy| policy.signers = other());
    check(&sgx(), &policy, "MRSIGNER is 815f42f1");
    let policy = sgx_policy(|policy| policy.product = Some(1));
    check(
        &sgx(),
        &policy,
        "the enclave is product 0 of its author, and 1 is expected",
    );
    let policy = sgx_policy(|policy| policy.svn_min = 1);
    check(
        &sgx(),
        &policy,
        "the enclave has security version 0, and 1 is the oldest",
    );
}

#[test]
fn a_platform_that_is_not_up_to_date_is_refused_unless_the_policy_names_its_status() {
    let strict = BTreeSet::from([TcbStatus::UpToDate]);
    let policy = tdx_policy(|policy| policy.platform.statuses = strict.clone());
    judge(&tdx(), &policy).unwrap();
    let policy = sgx_policy(|policy| policy.platform.statuses = strict);
    check(
        &sgx(),
        &policy,
        "the TCB status is ConfigurationAndSWHardeningNeeded (INTEL-SA-00289, INTEL-SA-00615)",
    );
    let named = TcbStatus::ConfigurationAndSwHardeningNeeded;
    let policy = sgx_policy(|policy| policy.platform.statuses = BTreeSet::from([named]));
    judge(&sgx(), &policy).unwrap();
}

#[test]
fn collateral_from_before_intel_raised_the_bar_is_refused() {
    let policy = tdx_policy(|policy| policy.platform.evaluation_min = 18);
    check(
        &tdx(),
        &policy,
        "the collateral is of TCB evaluation 17, and 18 is the oldest",
    );
    judge(&tdx_v5(), &policy).unwrap();
}

#[test]
fn report_data_is_what_is_expected_and_zeros() {
    let data = sgx().claims().report_data();
    let about = |report_data: &[u8]| {
        let expected = Expected {
            report_data,
            init_data: None,
        };
        judge_for(&sgx(), &lenient(), &expected)
    };
    // `Hello, world!` and zeros.
    for padded_by_the_platform in [13, 14, 32, 48, 63, 64] {
        about(&data[..padded_by_the_platform]).unwrap();
    }
    let too_long = [&data[..], &[0]].concat();
    for other in [&data[..12], &data[1..], &[0; 48], &[], &too_long] {
        assert_eq!(about(other).unwrap_err(), [Finding::ReportData]);
    }
}

#[test]
fn init_data_is_what_the_guest_was_started_with() {
    let Some(config) = config_id() else {
        panic!("the quote has one")
    };
    let started_with = |init_data: &[u8]| {
        let case = tdx_v5();
        let report_data = case.claims().report_data();
        let expected = Expected {
            report_data: &report_data,
            init_data: Some(init_data),
        };
        judge_for(&case, &lenient(), &expected)
    };
    // 33 bytes, and zeros up to 48.
    for length in [33, 47, 48] {
        assert!(started_with(&config[..length]).unwrap().binds_init_data());
    }
    // A digest of 64 bytes is cut.
    let longer = [&config[..], &[7; 16]].concat();
    started_with(&longer).unwrap();
    let mut other = config;
    other[47] ^= 1;
    for other in [&other[..], &config[..32], &config[1..], &[0; 48]] {
        let place = "MRCONFIGID";
        assert_eq!(
            started_with(other).unwrap_err(),
            [Finding::InitData { place }]
        );
    }
    // Nothing is no digest.
    started_with(&[]).unwrap_err();
}

fn config_id() -> Option<[u8; 48]> {
    match tdx_v5().claims().platform() {
        propeller_attest::verify::Platform::Tdx(claims) => Some(claims.config_id.0),
        _ => None,
    }
}

#[test]
fn an_enclave_has_no_place_for_init_data() {
    let data = sgx().claims().report_data();
    let expected = Expected {
        report_data: &data,
        init_data: Some(&[1; 48]),
    };
    let findings = judge_for(&sgx(), &lenient(), &expected).unwrap_err();
    assert!(
        findings[0]
            .to_string()
            .contains("says nothing about init-data")
    );
}

#[test]
fn everything_that_speaks_against_evidence_is_said() {
    let policy = Policy {
        sgx: Some(SgxPolicy::new([].into_iter().collect())),
        ..Policy::default()
    };
    let expected = Expected {
        report_data: &[9; 48],
        init_data: Some(&[8; 48]),
    };
    let refused = policy.judge(&sgx().claims(), &expected).unwrap_err();
    let text = refused.to_string();
    let parts = [
        "the policy refuses the evidence: the report data is not",
        "; evidence of kind `sgx` says nothing about init-data",
        "; MRENCLAVE is",
        "; the TCB status is Conf",
    ];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    assert_eq!(refused.findings().len(), 4);
    // Without a policy for the kind there is nothing else to say.
    let refused = Policy::default()
        .judge(&sgx().claims(), &expected)
        .unwrap_err();
    assert_eq!(refused.findings().len(), 1);
    assert_eq!(policy.sample, Rule::Refuse);
}
