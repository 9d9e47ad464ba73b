//! What tasks print, while they run.

use data_encoding::BASE64;
use propeller_api::{ExitKind, Limits, LogEvent, LogStream, TaskRequest};
use propeller_sdk::{Client, ClientError, Logs};

use crate::support::{
    PATIENCE, World, client, endless, ready, request, run, state, under_way, until, wait, wat,
};

/// What a guest does, one after the other.
#[derive(Clone, Copy)]
pub(crate) enum Act<'a> {
    Out(&'a str),
    Err(&'a str),
    WaitMs(u64),
    /// Prints numbered lines of ten bytes.
    Count(u32),
    Trap,
}

pub(crate) const HOUR_MS: u64 = 3_600_000;

/// A command that acts.
pub(crate) fn guest(acts: &[Act<'_>]) -> Vec<u8> {
    let (mut data, mut code, mut at) = (String::new(), String::new(), 1024);
    let mut print = |to: u32, text: &str, code: &mut String| {
        let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        data.push_str(&format!("(data (i32.const {at}) \"{escaped}\")\n"));
        code.push_str(&format!(
            "(call $print (i32.const {to}) (i32.const {at}) (i32.const {}))\n",
            text.len()
        ));
        at += text.len();
    };
    for act in acts {
        match act {
            Act::Out(text) => print(1, text, &mut code),
            Act::Err(text) => print(2, text, &mut code),
            Act::WaitMs(ms) => code.push_str(&format!("(call $wait (i64.const {ms}000000))\n")),
            Act::Count(lines) => code.push_str(&format!("(call $count (i32.const {lines}))\n")),
            Act::Trap => code.push_str("(call $inner)\n"),
        }
    }
    wat(&format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write"
            (func $fd_write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 2)
          (data (i32.const 512) "000000000\n")
          {data}
          (func $print (param $to i32) (param $at i32) (param $len i32)
            (i32.store (i32.const 0) (local.get $at))
            (i32.store (i32.const 4) (local.get $len))
            (drop (call $fd_write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8))))
          (func $wait (param $ns i64)
            (i32.store (i32.const 144) (i32.const 1))
            (i64.store (i32.const 152) (local.get $ns))
            (drop (call $poll (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 300))))
          (func $count (param $left i32) (local $at i32)
            (loop $line
              (call $print (i32.const 1) (i32.const 512) (i32.const 10))
              (local.set $at (i32.const 520))
              (loop $carry
                (i32.store8 (local.get $at)
                  (i32.add (i32.load8_u (local.get $at)) (i32.const 1)))
                (if (i32.gt_u (i32.load8_u (local.get $at)) (i32.const 57)) (then
                  (i32.store8 (local.get $at) (i32.const 48))
                  (local.set $at (i32.sub (local.get $at) (i32.const 1)))
                  (br $carry))))
              (local.set $left (i32.sub (local.get $left) (i32.const 1)))
              (br_if $line (local.get $left))))
          (func $inner unreachable)
          (func $outer {code})
          (func (export "_start") (call $outer)))"#
    ))
}

/// A task that has all the fuel and time it wants.
pub(crate) fn patient(name: &str, acts: &[Act<'_>]) -> TaskRequest {
    TaskRequest {
        limits: Some(Limits {
            fuel: Some(1_000_000_000_000),
            wall_ms: Some(HOUR_MS),
            ..Limits::default()
        }),
        ..request(name, &guest(acts))
    }
}

/// What was heard of a log.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) attempts: Vec<(u32, String)>,
    /// Both streams of the last attempt, as far as they are known.
    pub(crate) streams: [Vec<u8>; 2],
    /// Bytes of both that were missing.
    pub(crate) missing: [u64; 2],
    pub(crate) end: Option<(u8, Option<ExitKind>, String)>,
}

impl Heard {
    pub(crate) fn text(&self) -> [String; 2] {
        self.streams
            .each_ref()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn take(&mut self, event: LogEvent) {
        match event {
            LogEvent::Attempt {
                attempt,
                proplet_id,
            } => {
                self.attempts.push((attempt, proplet_id));
                (self.streams, self.missing) = Default::default();
            }
            LogEvent::Output {
                stream,
                offset,
                data_base64,
                ..
            } => {
                let index = usize::from(stream == LogStream::Stderr);
                let at = self.missing[index] + self.streams[index].len() as u64;
                assert!(offset >= at, "a piece comes twice");
                self.missing[index] += offset - at;
                let bytes = BASE64.decode(data_base64.as_bytes()).unwrap();
                self.streams[index].extend(bytes);
            }
            LogEvent::End {
                state, exit, hint, ..
            } => self.end = Some((state, exit, hint)),
        }
    }

    /// Reads on until something is so, or to the end.
    pub(crate) async fn until(&mut self, logs: &mut Logs, is_so: impl Fn(&Self) -> bool) {
        let reading = async {
            while !is_so(self) {
                match logs.next().await.unwrap() {
                    Some(event) => self.take(event.into_value()),
                    None => break,
                }
            }
        };
        let read = tokio::time::timeout(PATIENCE, reading).await;
        assert!(read.is_ok(), "not within {PATIENCE:?}: {self:?}");
    }
}

/// All of a log.
pub(crate) async fn all(client: &Client, id: &str, follow: bool) -> Heard {
    let mut logs = client.task_logs(id, follow).await.unwrap();
    let mut heard = Heard::default();
    heard.until(&mut logs, |_| false).await;
    assert!(heard.end.is_some(), "a log has an end: {heard:?}");
    heard
}

pub(crate) async fn begin(client: &Client, request: &TaskRequest) -> String {
    client.task_create(request, true).await.unwrap().id.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_line_is_seen_while_the_guest_runs() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let acts = [Act::Out("one\n"), Act::Err("oh\n"), Act::WaitMs(HOUR_MS)];
    let id = begin(&client, &patient("talk", &acts)).await;
    let mut logs = client.task_logs(&id, true).await.unwrap();
    let mut heard = Heard::default();
    let both = ["one\n".to_owned(), "oh\n".to_owned()];
    heard.until(&mut logs, |heard| heard.text() == both).await;
    assert_eq!(heard.attempts, [(1, "p1".to_owned())]);
    // Whoever only looks sees the same, and an end that says that it runs.
    under_way(&client, &id).await;
    let now = all(&client, &id, false).await;
    assert_eq!((now.text(), now.end.unwrap().0), (both, 2));
    client.task_stop(&id).await.unwrap();
    heard.until(&mut logs, |_| false).await;
    let stopped = (6, Some(ExitKind::Stopped), String::new());
    assert_eq!(heard.end, Some(stopped));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_whole_followed_or_read_when_all_is_over() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let acts = [
        Act::Out("one\n"),
        Act::WaitMs(300),
        Act::Count(20_000),
        Act::WaitMs(300),
        Act::Err("bye\n"),
        Act::Trap,
    ];
    let id = begin(&client, &patient("talk", &acts)).await;
    let heard = all(&client, &id, true).await;
    let lines: String = (0..20_000).map(|n| format!("{n:09}\n")).collect();
    let [out, err] = heard.text();
    assert!(out == format!("one\n{lines}"), "{} bytes", out.len());
    assert_eq!((err.as_str(), heard.missing), ("bye\n", [0, 0]));
    let (state, exit, hint) = heard.end.unwrap();
    assert_eq!((state, exit), (4, Some(ExitKind::Trap)));
    assert!(hint.contains("standard error says why"), "{hint}");
    for follow in [false, true] {
        let again = all(&client, &id, follow).await;
        assert!(again.text() == [out.clone(), err.clone()]);
        assert_eq!(again.attempts, [(1, "p1".to_owned())]);
    }
    let task = client.task_view(&id).await.unwrap();
    assert_eq!(task.exit, Some(ExitKind::Trap));
    assert_eq!(task.attempts[0].exit, Some(ExitKind::Trap));
    assert_eq!(client.task_results(&id).await.unwrap().hint, hint);
    let names = ["unreachable", "at inner", "at outer"];
    assert!(
        names.iter().all(|name| task.error.contains(name)),
        "{}",
        task.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_ended_by_its_limit_and_its_log_is_all_that_fitted() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let id = begin(&client, &patient("flood", &[Act::Count(u32::MAX)])).await;
    let heard = all(&client, &id, true).await;
    assert_eq!(heard.streams[0].len(), 1024 * 1024);
    assert_eq!(heard.missing, [0, 0]);
    let (_, exit, hint) = heard.end.unwrap();
    assert_eq!(exit, Some(ExitKind::Limit));
    assert!(hint.contains("--output-limit"), "{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_may_print_for_ever_and_whoever_comes_late_sees_the_tail() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let chatty = TaskRequest {
        daemon: Some(true),
        limits: Some(Limits {
            output_bytes: Some(1000),
            ..Limits::default()
        }),
        ..request(
            "daemon",
            &guest(&[Act::Count(300_000), Act::WaitMs(HOUR_MS)]),
        )
    };
    let id = begin(&client, &chatty).await;
    let last = b"000299999\n";
    until("all is printed", async || {
        let now = all(&client, &id, false).await;
        assert!(now.streams[0].len() <= 1000, "{}", now.streams[0].len());
        now.streams[0].ends_with(last)
    })
    .await;
    let now = all(&client, &id, false).await;
    assert_eq!(now.missing[0] + now.streams[0].len() as u64, 3_000_000);
    assert_eq!((now.streams[0].len(), now.end.unwrap().0), (1000, 2));
    client.task_stop(&id).await.unwrap();
    // One that fails leaves its last words.
    let failing = TaskRequest {
        file: Some(BASE64.encode(&guest(&[Act::Count(300_000), Act::Trap]))),
        ..chatty
    };
    let task = run(&client, &failing).await;
    let ended = all(&client, &task.id, false).await;
    assert_eq!(ended.missing[0] + ended.streams[0].len() as u64, 3_000_000);
    assert!(ended.streams[0].ends_with(last));
    assert_eq!(task.exit, Some(ExitKind::Trap));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_on_with_the_next_attempt_when_the_proplet_dies() {
    let world = World::new().await;
    let manager = world.manager().await;
    let first = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let acts = [Act::Out("here I am\n"), Act::WaitMs(HOUR_MS)];
    let id = begin(&client, &patient("talk", &acts)).await;
    let mut logs = client.task_logs(&id, true).await.unwrap();
    let mut heard = Heard::default();
    let spoke = |heard: &Heard, attempts| {
        heard.attempts.len() == attempts && heard.text()[0] == "here I am\n"
    };
    heard.until(&mut logs, |heard| spoke(heard, 1)).await;
    first.kill().await;
    let _second = world.proplet("p2");
    heard.until(&mut logs, |heard| spoke(heard, 2)).await;
    let attempts = [(1, "p1".to_owned()), (2, "p2".to_owned())];
    assert_eq!(heard.attempts, attempts);
    client.task_stop(&id).await.unwrap();
    let task = wait(&client, &id).await;
    assert_eq!(task.attempts[0].exit, Some(ExitKind::Lost));
    assert_eq!(task.attempts[1].exit, Some(ExitKind::Stopped));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_place_for_so_many_followers_and_one_that_leaves_makes_room() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let id = begin(&client, &patient("main", &[Act::WaitMs(HOUR_MS)])).await;
    let mut followers = Vec::new();
    for _ in 0..64 {
        followers.push(client.task_logs(&id, true).await.unwrap());
    }
    match client.task_logs(&id, true).await {
        Err(ClientError::Refused { status, problem }) => {
            assert_eq!(status, 503);
            assert!(problem.detail.contains("64 clients"), "{problem:?}");
        }
        other => panic!("{other:?}"),
    }
    drop(followers.pop());
    until("there is room again", async || {
        client.task_logs(&id, true).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_log_the_answer_says_why() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let refused = async |id: &str| match client.task_logs(id, true).await {
        Err(ClientError::Refused { status, problem }) => (status, problem.detail),
        other => panic!("{other:?}"),
    };
    let task = client
        .task_create(&request("main", &endless()), false)
        .await;
    let id = task.unwrap().id.clone();
    let (status, why) = refused(&id).await;
    assert_eq!(status, 409);
    assert!(why.contains("has not been started"), "{why}");
    assert_eq!(refused("01997c7e-0000-7000-8000-000000000001").await.0, 404);
    // Without a proplet there is nothing yet, and that is no error.
    client.task_start(&id).await.unwrap();
    let nothing = all(&client, &id, false).await;
    assert_eq!((nothing.attempts.len(), nothing.end.unwrap().0), (0, 1));
    // Stopped before anybody had it: there was no attempt.
    client.task_stop(&id).await.unwrap();
    let nothing = all(&client, &id, true).await;
    assert_eq!((nothing.attempts.len(), nothing.end.unwrap().0), (0, 6));
    assert_eq!(state(&client.task_view(&id).await.unwrap()), "interrupted");
}
