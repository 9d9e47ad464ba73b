//! What a policy finds in evidence of Azure's virtual machines.

use aws_lc_rs::digest::{SHA256, digest};
use propeller_attest::snp_report::SnpTcb;
use propeller_attest::verify::{
    Approved, AzurePolicy, Expected, Measurement, Policy, Refused, SnpPolicy, Verdict,
};

use super::azure_vm::{DATA, Machine, message};
use super::chip::MEASUREMENT;
use super::samples::lenient;

/// Where a report of SEV-SNP has the privilege level.
const VMPL_AT: usize = 0x030;

fn policy(change: impl FnOnce(&mut AzurePolicy<SnpPolicy>)) -> Policy {
    let snp = SnpPolicy::new(Approved::Any, SnpTcb::default());
    let mut azure = AzurePolicy::new(snp);
    change(&mut azure);
    Policy {
        azure_snp: Some(azure),
        ..Policy::default()
    }
}

fn judged(
    machine: &Machine,
    policy: &Policy,
    init_data: Option<&[u8]>,
) -> Result<Verdict, Refused> {
    let expected = Expected {
        report_data: &DATA,
        init_data,
    };
    policy.judge(&machine.case().claims(), &expected)
}

#[test]
fn a_policy_names_the_paravisor_and_what_was_measured_above_it() {
    let machine = Machine::new();
    let verdict = judged(&machine, &policy(|_| ()), None).unwrap();
    assert_eq!(verdict.label(), "az-snp-vtpm");
    // Hardware alone, or registers alone, say nothing of what runs.
    assert_eq!(verdict.status().name(), "none");
    let pinned = |azure: &mut AzurePolicy<SnpPolicy>| {
        azure.guest.measurements = Approved::from_iter([Measurement(MEASUREMENT)]);
        azure.registers[4] = Approved::from_iter([Measurement([4; 32])]);
        azure.registers[9] = Approved::from_iter([Measurement([9; 32])]);
    };
    let verdict = judged(&machine, &policy(pinned), None).unwrap();
    assert_eq!(verdict.status().name(), "affirming");
    let verdict = judged(
        &machine,
        &policy(|azure| {
            pinned(azure);
            azure.guest.measurements = Approved::Any;
        }),
        None,
    );
    assert_eq!(verdict.unwrap().status().name(), "none");

    let refused = judged(
        &machine,
        &policy(|azure| {
            azure.guest.measurements = Approved::from_iter([Measurement([1; 48])]);
            azure.registers[7] = Approved::from_iter([Measurement([1; 32])]);
        }),
        None,
    );
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("the measurement is 3333"), "{refused}");
    assert!(refused.contains("PCR7 is 0707"), "{refused}");
}

#[test]
fn a_policy_for_the_hardware_alone_is_none_for_azure() {
    let refused = judged(&Machine::new(), &lenient(), None).unwrap_err();
    let expected = "the policy accepts no evidence of kind `az-snp-vtpm`";
    assert!(refused.to_string().contains(expected), "{refused}");
}

#[test]
fn a_guest_that_asks_the_firmware_itself_is_not_its_paravisor() {
    let mut machine = Machine::new();
    machine.chip.put(VMPL_AT, &2_u32.to_le_bytes());
    let refused = judged(&machine, &policy(|_| ()), None).unwrap_err();
    assert!(
        refused.to_string().contains("privilege level 2"),
        "{refused}"
    );
}

#[test]
fn report_data_are_not_padded_and_not_nothing() {
    let claims = Machine::new().case().claims();
    let policy = policy(|_| ());
    let mut padded = DATA.to_vec();
    padded.resize(64, 0);
    for other in [&padded[..], &DATA[..47], &[8; 48], &[]] {
        let expected = Expected {
            report_data: other,
            init_data: None,
        };
        let refused = policy.judge(&claims, &expected).unwrap_err().to_string();
        assert!(
            refused.contains("the report data is not the expected one"),
            "{refused}"
        );
    }
    let mut about_nothing = Machine::new();
    about_nothing.message = message(&[], &about_nothing.registers);
    let expected = Expected {
        report_data: &[],
        init_data: None,
    };
    let claims = about_nothing.case().claims();
    assert!(policy.judge(&claims, &expected).is_err());
}

#[test]
fn init_data_are_what_register_8_was_extended_with_first() {
    let digest_of_init_data = [0x5a; 32];
    let mut machine = Machine::new();
    let register = digest(&SHA256, &[[0; 32], digest_of_init_data].concat());
    machine.registers[8] = register.as_ref().try_into().unwrap();
    machine.message = message(&DATA, &machine.registers);
    let policy = policy(|_| ());
    let verdict = judged(&machine, &policy, Some(&digest_of_init_data)).unwrap();
    assert!(verdict.binds_init_data());
    for other in [&[0x5b; 32][..], &[0x5a; 31], &[0x5a; 48], &[]] {
        let refused = judged(&machine, &policy, Some(other)).unwrap_err();
        assert!(
            refused.to_string().contains("PCR8 is not the digest"),
            "{refused}"
        );
    }
}
