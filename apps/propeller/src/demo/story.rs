//! What happens in the demo, and what was seen of it.

use std::io;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use propeller_api::{Task, TaskRequest, TaskState};
use propeller_envelope::{HEADER_LEN_SHARED_KEY, RandomError, WorkloadKey, sealed_len};
use propeller_sdk::{Client, ClientError};

use super::tap::{Seen, Tap};
use crate::run::{local_client, wait_for_proplets};
use crate::stack::{Part, Scratch, StackError, broker};

/// The module of the demo: `examples/guests/hello`.
const MODULE: &[u8] = include_bytes!("../../../../examples/guests/hello.wasm");
const MODULE_NAME: &str = "hello.wasm";
/// What a proplet with another key must say.
const KEY_ERROR: &str = "cipher: message authentication failed";
/// Longest wait for one task: it takes milliseconds.
const TASK_MAX: Duration = Duration::from_secs(20);

/// Why the demo could not be told to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum DemoError {
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot use the disk or a port")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Everything that was seen.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) key_id: String,
    pub(super) input: String,
    pub(super) module_len: usize,
    pub(super) sealed_len: usize,
    pub(super) ready: Duration,
    pub(super) sealed: Told,
    pub(super) plain: Told,
    pub(super) wrong_key: Task,
    pub(super) total: Duration,
    pub(super) claims: Vec<Claim>,
}

/// One run of the task, and what the tap saw of it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) task: Task,
    pub(super) result: String,
    pub(super) seen: Seen,
    pub(super) round_trip: Duration,
}

/// Something that Propeller claims, and whether it held.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) claim: &'static str,
    pub(super) held: bool,
}

impl Story {
    pub(super) fn held(&self) -> bool {
        self.claims.iter().all(|claim| claim.held)
    }
}

/// Tells the story from the beginning.
pub(super) async fn tell() -> Result<Story, DemoError> {
    let begun = Instant::now();
    let scratch = Scratch::new()?;
    let key = WorkloadKey::generate()?;
    // Fresh in every run, so that nothing can have been prepared to hide it.
    let canary = WorkloadKey::generate()?.to_hex();
    let input = format!("secret-{}", &canary[..20]);
    let (sealed, wrong_key, ready) = sealed_run(&scratch, &key, &input, begun).await?;
    let plain = plain_run(&scratch, &key, &input).await?;
    let mut story = Story {
        key_id: key.id().to_string(),
        module_len: MODULE.len(),
        sealed_len: HEADER_LEN_SHARED_KEY + sealed_len(MODULE.len()),
        ready,
        sealed,
        plain,
        wrong_key,
        total: begun.elapsed(),
        claims: Vec::new(),
        input,
    };
    story.claims = claims(&story);
    Ok(story)
}

fn claims(story: &Story) -> Vec<Claim> {
    let expected = format!("Hello from Propeller, {}!", story.input);
    let completed = |task: &Task| task.state == TaskState::Completed as u8;
    let wrong = &story.wrong_key;
    [
        (
            "the task completed with the right result",
            completed(&story.sealed.task) && story.sealed.result.trim() == expected,
        ),
        (
            "the broker carried frames",
            story.sealed.seen.bytes > MODULE.len(),
        ),
        (
            "no byte of module, input or result was readable on the way",
            story.sealed.seen.hits == 0,
        ),
        (
            "the same tap finds them in plain mode",
            completed(&story.plain.task) && story.plain.seen.hits > 0,
        ),
        (
            "a proplet with another key opens nothing",
            wrong.state == TaskState::Failed as u8 && wrong.error.contains(KEY_ERROR),
        ),
        (
            "and has run nothing",
            wrong.results.is_null() && wrong.attempts.iter().all(|a| a.usage.is_none()),
        ),
    ]
    .into_iter()
    .map(|(claim, held)| Claim { claim, held })
    .collect()
}

/// The encrypted run: two proplets with the key, one with another.
async fn sealed_run(
    scratch: &Scratch,
    key: &WorkloadKey,
    input: &str,
    begun: Instant,
) -> Result<(Told, Task, Duration), DemoError> {
    let broker = broker().await?;
    let tap = Tap::start(broker.address()).await?;
    let part = |name: &str| Part::new(tap.address(), &scratch.path(name));
    let manager = part("manager").key(key).manager().await?;
    let first = part("proplet-1").key(key).proplet("proplet-1")?;
    let second = part("proplet-2").key(key).proplet("proplet-2")?;
    let other_key = WorkloadKey::generate()?;
    let third = part("proplet-3").key(&other_key).proplet("wrong-key")?;
    let client = local_client(manager.url())?;
    wait_for_proplets(&client, 3).await?;
    let ready = begun.elapsed();
    let told = run(&client, &tap, input, None).await?;
    let wrong = run(&client, &tap, input, Some("wrong-key")).await?;
    // What the failed task carried counts as well.
    let told = Told {
        seen: wrong.seen,
        ..told
    };
    for proplet in [first, second, third] {
        proplet.stop().await;
    }
    manager.stop().await;
    tap.stop().await;
    broker.stop().await;
    Ok((told, wrong.task, ready))
}

/// The same in plain mode, as upstream does it, so that the search is known to find.
async fn plain_run(scratch: &Scratch, key: &WorkloadKey, input: &str) -> Result<Told, DemoError> {
    let broker = broker().await?;
    let tap = Tap::start(broker.address()).await?;
    let manager = Part::new(tap.address(), &scratch.path("plain-manager"))
        .key(key)
        .with("allow_plaintext_proplets", "true")
        .manager()
        .await?;
    let proplet = Part::new(tap.address(), &scratch.path("plain-proplet"))
        .with("plaintext", "true")
        .proplet("plain")?;
    let client = local_client(manager.url())?;
    wait_for_proplets(&client, 1).await?;
    let told = run(&client, &tap, input, None).await?;
    proplet.stop().await;
    manager.stop().await;
    tap.stop().await;
    broker.stop().await;
    Ok(told)
}

async fn run(
    client: &Client,
    tap: &Tap,
    input: &str,
    pinned: Option<&str>,
) -> Result<Told, DemoError> {
    let begun = Instant::now();
    let request = TaskRequest {
        name: Some("hello".to_owned()),
        file: Some(BASE64.encode(MODULE)),
        file_name: Some(MODULE_NAME.to_owned()),
        inputs: Some(vec![input.to_owned()]),
        proplet_id: pinned.map(ToOwned::to_owned),
        ..TaskRequest::default()
    };
    let id = client.task_create(&request, true).await?.id.clone();
    let task = client.task_wait(&id, Some(TASK_MAX)).await?.into_value();
    let round_trip = begun.elapsed();
    let result = task.results.as_str().unwrap_or_default().to_owned();
    let secrets = [MODULE, input.as_bytes(), result.as_bytes()];
    Ok(Told {
        seen: tap.search(&secrets),
        task,
        result,
        round_trip,
    })
}
