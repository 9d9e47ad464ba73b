//! What policies make of reports of SEV-SNP.

use propeller_attest::snp_report::SnpTcb;
use propeller_attest::verify::{
    Approved, Expected, Finding, Measurement, Policy, Rule, SnpPolicy, Verdict,
};

use super::chip::{Chip, HOST_DATA, MEASUREMENT, REPORT_DATA};
use super::samples::{Case, milan};

const EXPECTED: Expected<'static> = Expected {
    report_data: &REPORT_DATA,
    init_data: None,
};

fn policy(change: impl FnOnce(&mut SnpPolicy)) -> Policy {
    let approved = [Measurement(MEASUREMENT)].into_iter().collect();
    let mut snp = SnpPolicy::new(approved, Chip::genoa().tcb);
    change(&mut snp);
    Policy {
        snp: Some(snp),
        ..Policy::default()
    }
}

fn judge(case: &Case, policy: &Policy, expected: &Expected<'_>) -> Result<Verdict, Vec<Finding>> {
    let judged = policy.judge(&case.claims(), expected);
    judged.map_err(|refused| refused.findings().to_vec())
}

/// Refused for one reason.
fn check(chip: &Chip, policy: &Policy, refusal: &str) {
    let findings = judge(&chip.case(), policy, &EXPECTED).unwrap_err();
    let [finding] = &findings[..] else {
        panic!("{findings:?}")
    };
    let text = finding.to_string();
    assert!(text.starts_with(refusal), "{text}");
}

fn accepted(chip: &Chip, policy: &Policy) -> Verdict {
    judge(&chip.case(), policy, &EXPECTED).unwrap()
}

#[test]
fn a_guest_that_is_wanted_is_accepted() {
    let verdict = accepted(&Chip::genoa(), &policy(|_| ()));
    assert_eq!(verdict.label(), "snp");
    assert!(!verdict.binds_init_data());
}

#[test]
fn the_default_policy_accepts_no_guest() {
    let refusal = "the policy accepts no evidence of kind `snp`";
    check(&Chip::genoa(), &Policy::default(), refusal);
}

#[test]
fn a_measurement_that_is_not_approved_is_refused() {
    let other = policy(|policy| policy.measurements = [Measurement([0; 48])].into_iter().collect());
    check(&Chip::genoa(), &other, "the measurement is 333333");
    accepted(
        &Chip::genoa(),
        &policy(|policy| policy.measurements = Approved::Any),
    );
}

#[test]
fn a_tcb_that_is_too_old_in_one_part_is_refused() {
    let newer: [fn(&mut SnpTcb); 5] = [
        |tcb| tcb.bootloader += 1,
        |tcb| tcb.tee += 1,
        |tcb| tcb.snp += 1,
        |tcb| tcb.microcode += 1,
        // What Genoa does not have.
        |tcb| tcb.fmc = Some(0),
    ];
    for part in newer {
        let policy = policy(|policy| part(&mut policy.tcb_min));
        check(&Chip::genoa(), &policy, "the reported TCB (bootloader 10, ");
    }
    let older = policy(|policy| policy.tcb_min.microcode -= 1);
    accepted(&Chip::genoa(), &older);
}

#[test]
fn a_guest_that_its_host_may_look_into_is_refused() {
    let debug = Chip::genoa().with(0x008, &0xb_0000_u64.to_le_bytes());
    check(&debug, &policy(|_| ()), "it runs in debug mode");
    accepted(&debug, &policy(|policy| policy.debug = Rule::Allow));
}

#[test]
fn a_guest_that_an_agent_may_move_is_refused() {
    let migratable = Chip::genoa().with(0x008, &0x7_0000_u64.to_le_bytes());
    check(
        &migratable,
        &policy(|_| ()),
        "its owner allows a migration agent",
    );
}

#[test]
fn a_report_from_a_lower_privilege_level_is_refused() {
    for vmpl in [1_u32, 2, 3, 256] {
        let chip = Chip::genoa().with(0x030, &vmpl.to_le_bytes());
        let refusal = format!("the report was asked for at privilege level {vmpl}");
        check(&chip, &policy(|_| ()), &refusal);
    }
}

#[test]
fn version_2_is_refused_unless_the_policy_names_it() {
    let case = milan();
    let report_data = case.claims().report_data();
    let expected = Expected {
        report_data: &report_data,
        init_data: None,
    };
    let any = |policy: &mut SnpPolicy| {
        policy.measurements = Approved::Any;
        policy.tcb_min = SnpTcb::default();
    };
    let findings = judge(&case, &policy(any), &expected).unwrap_err();
    let (found, min, max) = (2, 3, 5);
    assert_eq!(findings, [Finding::ReportVersion { found, min, max }]);
    let named = policy(|policy| {
        any(policy);
        policy.versions = 2..=5;
    });
    judge(&case, &named, &expected).unwrap();
    let only_newer = policy(|policy| policy.versions = 4..=5);
    check(
        &Chip::genoa(),
        &only_newer,
        "the report is in version 3 of its format, and 4 to 5",
    );
}

#[test]
fn a_key_of_a_clouds_operator_is_refused_unless_the_policy_allows_it() {
    check(
        &Chip::of_a_cloud(),
        &policy(|_| ()),
        "the report is signed with a VLEK",
    );
    accepted(
        &Chip::of_a_cloud(),
        &policy(|policy| policy.vlek = Rule::Allow),
    );
}

#[test]
fn report_data_is_what_is_expected_and_zeros() {
    let about = |report_data: &[u8]| {
        let expected = Expected {
            report_data,
            init_data: None,
        };
        judge(&Chip::genoa().case(), &policy(|_| ()), &expected)
    };
    let mut padded = [0; 64];
    padded[..48].copy_from_slice(&REPORT_DATA);
    about(&padded).unwrap();
    about(&padded[..50]).unwrap();
    let too_long = [&padded[..], &[0]].concat();
    for other in [&REPORT_DATA[..47], &[0x45; 48], &[0x44; 64], &[], &too_long] {
        assert_eq!(about(other).unwrap_err(), [Finding::ReportData]);
    }
}

#[test]
fn init_data_is_what_the_guest_was_started_with() {
    let started_with = |init_data: &[u8]| {
        let expected = Expected {
            init_data: Some(init_data),
            ..EXPECTED
        };
        judge(&Chip::genoa().case(), &policy(|_| ()), &expected)
    };
    assert!(started_with(&HOST_DATA).unwrap().binds_init_data());
    // A digest of 48 bytes is cut to the 32 that there is room for.
    started_with(&[0x55; 48]).unwrap();
    let place = "HOST_DATA";
    for other in [&[0x55; 31][..], &[0x56; 32], &[0; 32], &[]] {
        assert_eq!(
            started_with(other).unwrap_err(),
            [Finding::InitData { place }]
        );
    }
}
