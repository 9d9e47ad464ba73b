//! Evidence of hardware, over the whole way: of a chip that is made here, under a root of ours.

#[allow(dead_code, reason = "made for other tests too")]
#[path = "../../../../crates/attest/tests/verify/chip.rs"]
mod chip;
#[allow(dead_code, reason = "made for other tests too")]
#[path = "../../../../crates/attest/tests/verify/der.rs"]
mod der;

/// What the chip makes cases of, elsewhere.
#[allow(dead_code, reason = "the chip fills it, and nobody here looks into it")]
mod samples {
    use propeller_attest::Tee;
    use propeller_attest::verify::{Anchors, Collateral, UnixTime};
    use serde_json::Value;

    pub(crate) const JULY_2025: UnixTime =
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_751_328_000));

    pub(crate) struct Case {
        pub(crate) tee: Tee,
        pub(crate) value: Value,
        pub(crate) collateral: Collateral,
        pub(crate) anchors: Anchors,
        pub(crate) now: UnixTime,
    }
}

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use chip::{Chip, MEASUREMENT};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};

use super::bed::Bed;
use super::guest::{Answer, Challenged, Guest, init_data};

const PATH: &str = "tenant-a/key/1";
/// Where a report has what the host bound it to, and the policy of the guest.
const HOST_DATA: usize = 0x0c0;
const REPORT_DATA: usize = 0x050;
const POLICY: usize = 0x008;

fn rules() -> String {
    let measurement = HEXLOWER.encode(&MEASUREMENT);
    format!(
        "[[allow]]
        name = 'measured'
        resources = ['tenant-a/*']
        tee = ['snp']
        measurements = ['{measurement}']
        init_data = {{ tenant = 'tenant-a' }}
        at_least = {{ 'reported_tcb.snp' = 23 }}"
    )
}

async fn attest(guest: &Guest, chip: Chip, init_data: &Value) -> Answer {
    let Challenged { nonce, cookie } = guest.challenged_as("snp").await;
    let mut bound = guest.report_data(&nonce);
    bound.resize(64, 0);
    let evidence = chip.with(REPORT_DATA, &bound).case().value;
    let mut body = guest.attestation_with(&nonce, evidence);
    body["init-data"] = init_data.clone();
    guest.post("attest", &cookie, body.to_string()).await
}

/// A chip that was told of this init-data at its launch.
fn launched_with(init_data: &Value) -> Chip {
    let body = init_data["body"].as_str().unwrap();
    let hash = digest(&SHA256, body.as_bytes());
    Chip::genoa().with(HOST_DATA, hash.as_ref())
}

#[tokio::test]
async fn a_measured_guest_with_its_tenants_init_data_gets_its_tenants_key() {
    let mut bed = Bed::closed(&rules()).believing(Chip::anchors());
    bed.start().await.unwrap();
    bed.put(PATH, b"a secret").await;
    let guest = Guest::new(&bed.http, bed.broker().url());
    let init_data = init_data("tenant-a");
    let token = attest(&guest, launched_with(&init_data), &init_data)
        .await
        .token();
    assert_eq!(
        guest
            .open(&guest.get(PATH, Some(&token), "").await)
            .unwrap(),
        b"a secret"
    );
    let attested = &bed.logged(&["attested"]).await[0];
    assert_eq!(attested["measurement"], HEXLOWER.encode(&MEASUREMENT));

    // What is claimed and not so is no evidence.
    for (chip, words) in [
        (Chip::genoa(), "HOST_DATA is not the digest"),
        (
            launched_with(&init_data).with(REPORT_DATA + 48, &[0; 1]),
            "",
        ),
    ] {
        let answer = attest(&guest, chip, &init_data).await;
        match words {
            "" => assert_eq!(answer.status, 200),
            words => assert!(answer.refusal().2.contains(words), "{answer:?}"),
        }
    }
    // What is so and not wanted is evidence, and opens nothing.
    let debug = launched_with(&init_data).with(POLICY, &0xb_0000_u64.to_le_bytes());
    let other = launched_with(&init_data).with(0x090, &[7; 48]);
    for (chip, words) in [
        (debug, "look inside (debug)"),
        (other, "none of those in the rule"),
    ] {
        let token = attest(&guest, chip, &init_data).await.token();
        let (_, name, _) = guest.get(PATH, Some(&token), "").await.refusal();
        assert_eq!(name, "PolicyDeny");
        let explain = json!({"path": PATH, "token": token});
        let (_, why) = bed.ask("explain", Some(&explain)).await;
        assert!(
            why["explanation"].as_str().unwrap().contains(words),
            "{why}"
        );
    }
}

#[tokio::test]
async fn a_genuine_quote_is_judged_by_the_operators_collateral_and_is_about_something_else() {
    /// When Intel's words about that platform were in force.
    const JULY_2025: i64 = 1_751_328_000;
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/attest/tdx");
    let mut bed = Bed::closed(&rules());
    for (name, file) in [
        ("other.json", "outdated_collateral.json"),
        ("own.json", "v4_collateral.json"),
    ] {
        let text = std::fs::read_to_string(testdata.join(file)).unwrap();
        let path = bed.write(name, &text);
        bed.config.collateral = path.parent().map(Path::to_owned);
    }
    bed.start().await.unwrap();
    bed.pass(JULY_2025 - bed.now());
    let guest = Guest::new(&bed.http, bed.broker().url());
    let quote = BASE64.encode(&std::fs::read(testdata.join("v4_quote.bin")).unwrap());
    let refused = async || {
        let Challenged { nonce, cookie } = guest.challenged_as("tdx").await;
        let body = guest.attestation_with(&nonce, json!({"quote": quote, "cc_eventlog": null}));
        guest
            .post("attest", &cookie, body.to_string())
            .await
            .refusal()
            .2
    };
    let detail = refused().await;
    assert!(
        detail.contains("the report data is not the expected one"),
        "{detail}"
    );
    bed.pass(365 * 24 * 3600);
    let detail = refused().await;
    assert!(
        detail.contains("does not verify with this collateral at this time"),
        "{detail}"
    );
    // What is no collateral is said at the start, and not when somebody attests.
    bed.write("broken.json", "{}");
    let refused = bed.broker().reload().unwrap_err().to_string();
    assert!(refused.contains("KEYBROKER_COLLATERAL"), "{refused}");
}

#[tokio::test]
async fn a_chip_that_nobody_vouches_for_is_none_and_a_quote_needs_collateral() {
    let bed = Bed::new(&rules()).await;
    let guest = Guest::new(&bed.http, bed.broker().url());
    let init_data = init_data("tenant-a");
    let answer = attest(&guest, launched_with(&init_data), &init_data).await;
    assert!(answer.refusal().2.contains("none of AMD's"), "{answer:?}");
    let Challenged { nonce, cookie } = guest.challenged_as("tdx").await;
    let body = guest.attestation_with(&nonce, json!({"quote": "AAAA", "cc_eventlog": null}));
    let (_, _, detail) = guest
        .post("attest", &cookie, body.to_string())
        .await
        .refusal();
    assert!(detail.contains("KEYBROKER_COLLATERAL"), "{detail}");
}
