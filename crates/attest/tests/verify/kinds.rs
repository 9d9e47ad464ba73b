//! Kinds of evidence that prove nothing, and kinds that are not judged.

use propeller_attest::Tee;
use propeller_attest::verify::{
    Anchors, Collateral, Evidence, Expected, Platform, Policy, Rule, SnpChain, VerifyError, verify,
};
use serde_json::{Value, json};

use super::samples::{Case, JULY_2025, lenient, seconds};

fn case(tee: Tee, value: Value) -> Case {
    Case {
        tee,
        value,
        collateral: Collateral::None,
        anchors: Anchors::vendors(),
        now: JULY_2025,
    }
}

/// 48 bytes of `0x5a`.
fn sample() -> Value {
    json!({"svn": "1", "report_data": "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpa"})
}

#[test]
fn kinds_that_cannot_be_judged_say_which_can() {
    let refusal = case(Tee::Cca, json!({})).refusal();
    let expected = "evidence of kind `cca` cannot be judged here: only `tdx`, `sgx`, `snp`, \
                    `az-tdx-vtpm`, `az-snp-vtpm` and `sample` can";
    assert!(refusal.starts_with(expected), "{refusal}");
}

#[test]
fn sample_evidence_says_whatever_somebody_wrote() {
    let claims = case(Tee::Sample, sample()).claims();
    let Platform::Sample(found) = claims.platform() else {
        panic!("{claims:?}")
    };
    assert_eq!(found.svn, "1");
    assert_eq!(found.report_data, [0x5a; 48]);
    assert_eq!(claims.measurement(), None);
    assert_eq!(claims.valid_until(), None);
    assert!(claims.is_open());
}

fn judge(policy: &Policy, report_data: &[u8]) -> Result<&'static str, String> {
    let case = case(Tee::Sample, sample());
    let expected = Expected {
        report_data,
        init_data: Some(b"nobody looks at this"),
    };
    let verdict = policy.judge(&case.claims(), &expected);
    verdict
        .map(|verdict| {
            assert!(!verdict.binds_init_data());
            verdict.label()
        })
        .map_err(|refused| refused.to_string())
}

#[test]
fn sample_evidence_is_accepted_if_the_policy_says_so_and_called_what_it_is() {
    let mut policy = Policy::default();
    let refused = judge(&policy, &[0x5a; 48]).unwrap_err();
    assert!(refused.contains("`sample` proves nothing, and the policy does not allow it"));
    // Not even by a policy that accepts all hardware.
    judge(&lenient(), &[0x5a; 48]).unwrap_err();
    policy.sample = Rule::Allow;
    assert_eq!(judge(&policy, &[0x5a; 48]).unwrap(), "sample: not hardware");
}

#[test]
fn sample_evidence_is_about_its_48_bytes_and_not_about_padded_ones() {
    let policy = Policy {
        sample: Rule::Allow,
        ..Policy::default()
    };
    let mut padded = [0; 64];
    padded[..48].fill(0x5a);
    for other in [&padded[..], &[0x5a; 47], &[0x5b; 48], &[]] {
        let refused = judge(&policy, other).unwrap_err();
        assert!(refused.contains("the report data is not the expected one"));
    }
}

#[test]
fn sample_evidence_has_its_form() {
    let long = "A".repeat(88);
    for (value, refusal) in [
        (json!(null), "not the JSON of `sample` evidence"),
        (json!({}), "not the JSON of `sample` evidence"),
        (json!({"svn": "1"}), "not the JSON of `sample` evidence"),
        (
            json!({"svn": 1, "report_data": ""}),
            "not the JSON of `sample` evidence",
        ),
        (
            json!({"svn": "1", "report_data": "", "x": 1}),
            "not the JSON of `sample` evidence",
        ),
        (
            json!({"svn": "1", "report_data": "*"}),
            "member `report_data` of the evidence is not base64",
        ),
        (
            json!({"svn": "1", "report_data": "AAA"}),
            "member `report_data` of the evidence is not base64",
        ),
        (
            json!({"svn": "1", "report_data": long}),
            "`report_data` has 66 bytes",
        ),
        (
            json!({"svn": long, "report_data": ""}),
            "`svn` has 88 bytes",
        ),
    ] {
        let found = case(Tee::Sample, value).refusal();
        assert!(found.starts_with(refusal), "{found}");
    }
}

#[test]
fn sample_evidence_has_no_collateral() {
    let mut case = case(Tee::Sample, sample());
    case.collateral = Collateral::Snp(SnpChain::default());
    assert!(case.refusal().contains("not of the kind"));
}

#[test]
fn a_verdict_needs_both_what_is_true_and_what_is_wanted() {
    let judge = |value: &Value, rule| {
        let policy = Policy {
            sample: rule,
            ..Policy::default()
        };
        let evidence = Evidence {
            tee: Tee::Sample,
            value,
        };
        let basis = super::samples::basis(&Collateral::None, seconds(JULY_2025));
        let expected = Expected {
            report_data: &[0x5a; 48],
            init_data: None,
        };
        verify(&evidence, &basis, &policy, &expected)
    };
    assert_eq!(judge(&sample(), Rule::Allow).unwrap().tee(), Tee::Sample);
    let not_accepted = judge(&sample(), Rule::Refuse).unwrap_err();
    assert!(matches!(not_accepted, VerifyError::NotAccepted(_)));
    let not_authentic = judge(&json!({}), Rule::Allow).unwrap_err();
    assert!(matches!(not_authentic, VerifyError::NotAuthentic(_)));
}
