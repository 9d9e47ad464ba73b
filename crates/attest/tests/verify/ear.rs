//! Verdicts as attestation results.

use std::collections::BTreeSet;

use propeller_attest::Tee;
use propeller_attest::verify::{
    Anchors, Approved, Collateral, EAR_PROFILE, EarFrame, EarStatus, Expected, Measurement, Policy,
    Rule, TcbStatus, Verdict,
};
use serde_json::{Value, json};

use super::chip::{Chip, HOST_DATA};
use super::samples::{Case, JULY_2025, lenient, sgx, tdx};

fn judge(case: &Case, policy: &Policy, init_data: Option<&[u8]>) -> Verdict {
    let claims = case.claims();
    let report_data = claims.report_data();
    let expected = Expected {
        report_data: &report_data,
        init_data,
    };
    policy.judge(&claims, &expected).unwrap()
}

fn ear(verdict: &Verdict) -> Value {
    verdict.ear(&EarFrame {
        issuer: "broker.example",
        issued_at: JULY_2025,
        expires_at: JULY_2025 + 300,
        build: "propeller 0.1.0",
        policy: "workers-7",
        runtime_data: Some(&json!({"nonce": "n", "tee-pubkey": {"kty": "EC"}})),
        init_data: None,
    })
}

/// Policies that say what may run.
fn pinned() -> Policy {
    let mut policy = lenient();
    let tdx = policy.tdx.as_mut().unwrap();
    let measured = |text: &str| [text.parse().unwrap()].into_iter().collect::<Approved<_>>();
    tdx.measurements = measured(
        "91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407de03ae6dc5f87f27428b2538873118b7",
    );
    tdx.registers[1] = measured(
        "0084452c01668329d4bc06acdf58a7205c26743304509973949e5619bf81a6a7aea8c323c173019b3093d54e579e9378",
    );
    tdx.registers[2] = measured(
        "d833feef2cd945148aa38ead2c53e9b7f138190aaaebfc551dccd829fc207aa3ba80b70870d7330733642e01d48c3132",
    );
    let snp = policy.snp.as_mut().unwrap();
    snp.measurements = [Measurement([0x33; 48])].into_iter().collect();
    snp.debug = Rule::Allow;
    let sgx = policy.sgx.as_mut().unwrap();
    sgx.measurements = [
        "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb"
            .parse()
            .unwrap(),
    ]
    .into_iter()
    .collect();
    policy
}

#[test]
fn a_result_has_the_members_of_an_ear() {
    let verdict = judge(&tdx(), &pinned(), None);
    let ear = ear(&verdict);
    assert_eq!(ear["eat_profile"], EAR_PROFILE);
    assert_eq!(ear["iss"], "broker.example");
    assert_eq!(ear["iat"], JULY_2025);
    assert_eq!(ear["exp"], JULY_2025 + 300);
    assert_eq!(ear["ear.verifier-id"]["build"], "propeller 0.1.0");
    let cpu = &ear["submods"]["cpu0"];
    assert_eq!(cpu["ear.status"], "affirming");
    assert_eq!(cpu["ear.appraisal-policy-id"], "workers-7");
    assert_eq!(
        cpu["ear.trustworthiness-vector"],
        json!({
            "instance-identity": 0,
            "configuration": 0,
            "executables": 3,
            "file-system": 0,
            "hardware": 2,
            "runtime-opaque": 2,
            "storage-opaque": 0,
            "sourced-data": 0,
        })
    );
    let evidence = &cpu["ear.veraison.annotated-evidence"];
    assert_eq!(evidence["tdx"], verdict.claims().to_json());
    assert_eq!(evidence["report_data"], evidence["tdx"]["report_data"]);
    assert_eq!(evidence["runtime_data_claims"]["tee-pubkey"]["kty"], "EC");
    assert_eq!(evidence.get("init_data_claims"), None);
    assert_eq!(evidence.get("sample"), None);
}

#[test]
fn what_nobody_looked_at_is_not_affirmed() {
    let status = |case: Case, policy: &Policy| judge(&case, policy, None).status();
    // Genuine hardware, and nothing is said about what runs there.
    assert_eq!(status(tdx(), &lenient()), EarStatus::None);
    assert_eq!(status(Chip::genoa().case(), &lenient()), EarStatus::None);
    // The firmware alone is not what runs.
    let mut policy = pinned();
    policy.tdx.as_mut().unwrap().registers[2] = Approved::Any;
    assert_eq!(status(tdx(), &policy), EarStatus::None);
    assert_eq!(status(tdx(), &pinned()), EarStatus::Affirming);
    assert_eq!(
        status(Chip::genoa().case(), &pinned()),
        EarStatus::Affirming
    );
}

#[test]
fn a_platform_with_known_holes_is_a_warning_even_if_it_is_accepted() {
    let verdict = judge(&sgx(), &lenient(), None);
    assert_eq!(verdict.status(), EarStatus::Warning);
    let vector = &ear(&verdict)["submods"]["cpu0"]["ear.trustworthiness-vector"];
    assert_eq!(vector["hardware"], 32);
    assert_eq!(judge(&sgx(), &pinned(), None).status(), EarStatus::Warning);
}

#[test]
fn what_its_host_can_see_into_is_contraindicated_even_if_it_is_accepted() {
    let debug = Chip::genoa().with(0x008, &0xb_0000_u64.to_le_bytes());
    let verdict = judge(&debug.case(), &pinned(), None);
    assert_eq!(verdict.status(), EarStatus::Contraindicated);
    let ear = ear(&verdict);
    let vector = &ear["submods"]["cpu0"]["ear.trustworthiness-vector"];
    assert_eq!(
        (&vector["runtime-opaque"], &vector["configuration"]),
        (&json!(96), &json!(96))
    );
}

#[test]
fn sample_evidence_is_contraindicated_even_if_it_is_accepted() {
    let case = Case {
        tee: Tee::Sample,
        value: json!({"svn": "1", "report_data": "AAAA"}),
        collateral: Collateral::None,
        anchors: Anchors::vendors(),
        now: JULY_2025,
    };
    let policy = Policy {
        sample: Rule::Allow,
        ..Policy::default()
    };
    let verdict = judge(&case, &policy, None);
    assert_eq!(verdict.label(), "sample: not hardware");
    let ear = ear(&verdict);
    let cpu = &ear["submods"]["cpu0"];
    assert_eq!(cpu["ear.status"], "contraindicated");
    assert_eq!(cpu["ear.trustworthiness-vector"]["hardware"], 97);
    assert_eq!(cpu["ear.veraison.annotated-evidence"]["sample"]["svn"], "1");
}

#[test]
fn init_data_is_vouched_for_if_the_hardware_was_asked() {
    let tenant = json!({"tenant": "a"});
    let asked = judge(&Chip::genoa().case(), &pinned(), Some(&HOST_DATA));
    assert_eq!(asked.status(), EarStatus::Affirming);
    let ear = ear_with(&asked, &tenant);
    let cpu = &ear["submods"]["cpu0"];
    assert_eq!(cpu["ear.trustworthiness-vector"]["configuration"], 2);
    let evidence = &cpu["ear.veraison.annotated-evidence"];
    assert_eq!(evidence["init_data_claims"], tenant);
    assert_eq!(evidence.get("runtime_data_claims"), None);
    let not_asked = judge(&Chip::genoa().case(), &pinned(), None);
    let ear = ear_with(&not_asked, &tenant);
    let cpu = &ear["submods"]["cpu0"];
    assert_eq!(cpu["ear.trustworthiness-vector"]["configuration"], 0);
    let evidence = &cpu["ear.veraison.annotated-evidence"];
    assert_eq!(evidence.get("init_data_claims"), None);
}

fn ear_with(verdict: &Verdict, init_data: &Value) -> Value {
    verdict.ear(&EarFrame {
        issuer: "broker.example",
        issued_at: JULY_2025,
        expires_at: JULY_2025,
        build: "propeller 0.1.0",
        policy: "workers-7",
        runtime_data: None,
        init_data: Some(init_data),
    })
}

#[test]
fn a_status_that_the_policy_names_is_accepted_and_no_better_for_it() {
    let mut policy = pinned();
    let statuses = BTreeSet::from([TcbStatus::ConfigurationAndSwHardeningNeeded]);
    policy.sgx.as_mut().unwrap().platform.statuses = statuses;
    let verdict = judge(&sgx(), &policy, None);
    assert_eq!(verdict.status().name(), "warning");
}
