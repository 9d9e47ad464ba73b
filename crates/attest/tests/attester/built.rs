//! What a build makes evidence of, and how it refuses the rest.

use propeller_attest::{AttestError, Attester, Tee};

/// Each with the feature that has it, and whether this build does.
const KINDS: [(Tee, &str, bool); 6] = [
    (
        Tee::Sample,
        "sample-attester",
        cfg!(feature = "sample-attester"),
    ),
    (Tee::Tdx, "tdx-attester", cfg!(feature = "tdx-attester")),
    (Tee::Snp, "snp-attester", cfg!(feature = "snp-attester")),
    (Tee::Sgx, "sgx-attester", cfg!(feature = "sgx-attester")),
    (
        Tee::AzSnpVtpm,
        "azure-attester",
        cfg!(feature = "azure-attester"),
    ),
    (
        Tee::AzTdxVtpm,
        "azure-attester",
        cfg!(feature = "azure-attester"),
    ),
];

#[test]
fn what_is_not_built_is_refused_by_the_name_of_its_feature() {
    for (kind, feature, built) in KINDS {
        match Attester::asked_for(kind) {
            Ok(attester) => assert_eq!((attester.tee(), built), (kind, true)),
            Err(error) => {
                assert!(!built, "{error}");
                let expected = format!(
                    "this build cannot make evidence of {kind}: build it with the cargo feature `{feature}`"
                );
                assert_eq!(error.to_string(), expected);
            }
        }
    }
}

#[test]
fn nobody_gets_sample_evidence_without_asking_for_it() {
    let error = Attester::of(Tee::Sample).unwrap_err();
    assert!(matches!(error, AttestError::SampleUnasked), "{error:?}");
}

#[test]
fn what_no_build_makes_says_what_does() {
    let kind = Tee::Cca;
    for attester in [Attester::of(kind), Attester::asked_for(kind)] {
        let error = attester.unwrap_err();
        assert!(matches!(error, AttestError::Unsupported { tee, .. } if tee == kind));
        let text = error.to_string();
        let begin = format!("this build cannot make evidence of {kind}, because ");
        assert!(text.starts_with(&begin), "{text}");
        assert!(text.contains("attestation-agent"), "{text}");
    }
}

#[cfg(feature = "sample-attester")]
#[test]
fn sample_evidence_has_the_report_data_as_they_are() {
    let attester = Attester::sample();
    assert_eq!(attester.tee(), Tee::Sample);
    let evidence = attester.evidence(&[7; 48]).unwrap();
    let expected = serde_json::json!({
        "svn": "1",
        "report_data": data_encoding::BASE64.encode(&[7; 48]),
    });
    assert_eq!(evidence, expected);
    let error = attester.evidence(&[0; 65]).unwrap_err();
    assert!(matches!(
        error,
        AttestError::ReportDataTooLong { bytes: 65 }
    ));
}
