//! Proplets that lie about where they worked: a manager takes no result of an encrypted task without
//! evidence for this attempt, image and session.

use propeller_api::{Task, TaskRequest};
use propeller_attest::Attester;
use propeller_attest::binding::AttemptBinding;
use propeller_envelope::{Context, Keyring, WorkloadKey, seal};
use propeller_model::{AttemptId, Digest, ExitKind, PropletId};
use propeller_wire::link::{Incoming, Link, Listen, Outgoing};
use propeller_wire::memory::{Faults, Hub};
use propeller_wire::message::{
    About, AttestedReport, FromProplet, Hello, HelloInTee, Output, Proof, Report, StartImage,
    Steps, ToProplet, Usage,
};
use propeller_wire::{Caller, Channel, Heard};
use serde_bytes::ByteBuf;
use tokio::task::JoinSet;

use crate::support::{World, client, ready, run, state};

const ME: &str = "liar";
/// Nobody listens there: a task that names its image by digest needs no registry.
const IMAGE: &str = "http://127.0.0.1:9/app:1@sha256:\
                     1111111111111111111111111111111111111111111111111111111111111111";

/// What is said at the end of an attempt that was given in a session with this binding.
type Lie = fn(Report, [u8; 32]) -> FromProplet;

fn proof(attempt: AttemptId, image: Digest, session: [u8; 32]) -> Proof {
    let bound = AttemptBinding {
        attempt,
        image,
        session,
    };
    let evidence = Attester::sample().evidence(&bound.report_data()).unwrap();
    Proof {
        kind: "sample".to_owned(),
        key: "kbs:///default/key/app".to_owned(),
        image,
        session,
        evidence: ByteBuf::from(evidence.to_string()),
        steps: Steps::default(),
    }
}

fn with(report: Report, proof: Proof) -> FromProplet {
    FromProplet::FinishedAttested(Box::new(AttestedReport { report, proof }))
}

const RIGHT: Digest = Digest([0x11; 32]);

fn honest(report: Report, session: [u8; 32]) -> FromProplet {
    let proof = proof(report.attempt, RIGHT, session);
    with(report, proof)
}

/// A proplet that says that it is in a TEE, runs nothing, and ends every attempt with a lie.
async fn lie(mut link: Link, key: WorkloadKey, lie: Lie) {
    let me: PropletId = ME.parse().unwrap();
    let keys = Keyring::new(key);
    let mut caller: Caller = Caller::new(me.clone(), keys.clone());
    let send = async |channel: Channel, bytes: Vec<u8>| {
        link.outgoing
            .send(Outgoing {
                channel,
                bytes: bytes.into(),
            })
            .await
            .unwrap();
    };
    while let Some(incoming) = link.incoming.recv().await {
        let Incoming::Frame { channel, bytes } = incoming else {
            if matches!(incoming, Incoming::Up) {
                send(Channel::Create, caller.announce([7; 32])).await;
            }
            continue;
        };
        let start: StartImage = match caller.receive(&channel, &bytes) {
            Heard::Offered => {
                let hello = Hello {
                    about: About::default(),
                    holds: Vec::new(),
                    slots: 1,
                };
                let kind = "sample".to_owned();
                let hello = FromProplet::HelloInTee(Box::new(HelloInTee { hello, kind }));
                let (channel, frame) = caller.seal_hello(&hello).unwrap();
                send(channel, frame).await;
                continue;
            }
            Heard::Said(ToProplet::StartAttested(start)) => start.start,
            Heard::Said(ToProplet::StartImage(start)) => start,
            _ => continue,
        };
        let context = Context::Result {
            tenant: &start.tenant,
            task: *start.attempt.task.0.as_bytes(),
            attempt: start.attempt.number,
            proplet: ME,
        };
        let output = Output {
            result: Some("42".to_owned()),
            ..Output::default()
        };
        let report = Report {
            attempt: start.attempt,
            success: true,
            output: ByteBuf::from(seal(&keys, &context, &output.to_bytes()).unwrap()),
            usage: Usage::default(),
            exit: ExitKind::Returned,
        };
        let said = lie(report, caller.binding().unwrap());
        let (channel, frame) = caller.seal(&said).unwrap();
        send(channel, frame).await;
    }
}

async fn task_ended_by(said: Lie, encrypted: bool) -> Task {
    let world = World::new().await;
    let hub = Hub::new(0, Faults::default());
    let config = world.manager_part().with("attempts_max", "1");
    let (link, carry) = hub.connect(Listen::AsManager);
    let config = config.manager_config().unwrap();
    let manager = propeller_manager::Manager::start_on(config, link, carry);
    let manager = manager.await.unwrap();
    let (link, carry) = hub.connect(Listen::AsProplet(ME.parse().unwrap()));
    let mut liar = JoinSet::new();
    liar.spawn(carry);
    liar.spawn(lie(link, world.key.clone(), said));
    let client = client(manager.url());
    ready(&client, 1).await;
    let request = TaskRequest {
        name: Some("app".to_owned()),
        image_url: Some(IMAGE.to_owned()),
        encrypted: Some(encrypted),
        ..TaskRequest::default()
    };
    run(&client, &request).await
}

async fn refused(said: Lie, why: &str) {
    let task = task_ended_by(said, true).await;
    assert_eq!(state(&task), "failed");
    assert!(task.error.contains(why), "{}", task.error);
    assert!(
        task.results.is_null() && task.protection.is_empty(),
        "{task:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_with_evidence_for_its_attempt_image_and_session_is_taken() {
    let task = task_ended_by(honest, true).await;
    assert_eq!(task.results, "42", "{}", task.error);
    assert_eq!(task.protection, "attested (sample: not hardware)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_without_evidence_is_not_taken() {
    refused(
        |report, _| FromProplet::Finished(report),
        "it came without evidence",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_from_another_session_image_attempt_or_kind_is_not_taken() {
    refused(
        |report, _| {
            let proof = proof(report.attempt, RIGHT, [0x22; 32]);
            with(report, proof)
        },
        "about another session",
    )
    .await;
    refused(
        |report, session| {
            let proof = proof(report.attempt, Digest([0x33; 32]), session);
            with(report, proof)
        },
        "about another image",
    )
    .await;
    refused(
        |report, session| {
            let other = AttemptId {
                number: report.attempt.number + 1,
                ..report.attempt
            };
            with(report, proof(other, RIGHT, session))
        },
        "the report data",
    )
    .await;
    refused(
        |report, session| {
            let mut proof = proof(report.attempt, RIGHT, session);
            proof.kind = "tdx".to_owned();
            with(report, proof)
        },
        "of another kind of TEE",
    )
    .await;
    refused(
        |report, session| {
            let mut proof = proof(report.attempt, RIGHT, session);
            proof.evidence = ByteBuf::from(b"not JSON");
            with(report, proof)
        },
        "it is no JSON",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_not_encrypted_gets_no_better_word_for_evidence() {
    let task = task_ended_by(honest, false).await;
    assert_eq!(state(&task), "failed");
    assert!(
        task.error.contains("the task is not encrypted"),
        "{}",
        task.error
    );
    assert_eq!(task.protection, "shared-key");
}
