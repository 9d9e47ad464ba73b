//! The life of a task, told as one line per case, and 10,000 random lives.
#![cfg(test)]

use std::time::Duration;

use propeller_model::PropletId;
use propeller_model::retry::Policy;
use propeller_model::task::{Effect, Event, Outcome, Retry, State};

const POLICY: Policy = Policy {
    attempts_max: 3,
    backoff: Duration::from_millis(100),
    backoff_max: Duration::from_secs(10),
};

fn proplet() -> PropletId {
    "p".parse().unwrap()
}

/// `start`, `assign`, `stop`, `running:N`, `ok:N`, `fail:N`, `lost:N` (retry), `reject:N` (final).
fn event(word: &str) -> Event {
    let (verb, number) = word.split_once(':').unwrap_or((word, "0"));
    let number = number.parse().unwrap();
    match verb {
        "start" => Event::Start,
        "assign" => Event::Assign(proplet()),
        "stop" => Event::Stop,
        "running" => Event::Started { number },
        "ok" | "fail" => Event::Finished {
            number,
            success: verb == "ok",
        },
        "lost" => Event::Undone {
            number,
            retry: Retry::MayHelp,
        },
        "refused" => Event::Undone {
            number,
            retry: Retry::IsFree,
        },
        "abandon" => Event::Abandon,
        "reject" => Event::Undone {
            number,
            retry: Retry::IsPointless,
        },
        other => panic!("no event {other}"),
    }
}

fn check(events: &str, expected: &str) {
    let mut state = State::NEW;
    let story: Vec<String> = events
        .split_whitespace()
        .map(|word| match state.on(event(word), &POLICY) {
            Ok((next, _)) => {
                state = next;
                state.to_string()
            }
            Err(rejected) => format!("! {rejected}"),
        })
        .collect();
    assert_eq!(story.join(" > "), expected);
}

#[test]
fn a_task_is_started_assigned_run_and_completed() {
    check(
        "start assign running:1 ok:1",
        "queued > assigned > running > completed",
    );
}

#[test]
fn a_short_task_finishes_before_anybody_says_that_it_runs() {
    check("start assign ok:1", "queued > assigned > completed");
}

#[test]
fn a_lost_attempt_is_tried_again() {
    check(
        "start assign lost:1 assign ok:2",
        "queued > assigned > queued > assigned > completed",
    );
}

#[test]
fn a_report_from_a_lost_attempt_is_stale() {
    check(
        "start assign lost:1 assign ok:1",
        "queued > assigned > queued > assigned > ! report from attempt 1, but attempt 2 is current",
    );
}

#[test]
fn a_second_report_settles_nothing() {
    check(
        "start assign ok:1 fail:1",
        "queued > assigned > completed > ! cannot finish a task that is completed",
    );
}

#[test]
fn a_report_from_the_future_is_stale() {
    check(
        "start assign ok:7",
        "queued > assigned > ! report from attempt 7, but attempt 1 is current",
    );
}

#[test]
fn attempts_of_one_run_are_bounded() {
    check(
        "start assign lost:1 assign lost:2 assign lost:3",
        "queued > assigned > queued > assigned > queued > assigned > failed",
    );
}

#[test]
fn an_attempt_that_nobody_tried_does_not_count() {
    check(
        "start assign refused:1 assign refused:2 assign refused:3 assign lost:4 assign ok:5",
        "queued > assigned > queued > assigned > queued > assigned > queued > assigned > queued \
         > assigned > completed",
    );
}

#[test]
fn what_cannot_be_given_to_anybody_fails() {
    check(
        "start abandon abandon",
        "queued > failed > ! cannot abandon a task that is failed",
    );
}

#[test]
fn a_final_rejection_is_not_tried_again() {
    check("start assign reject:1", "queued > assigned > failed");
}

#[test]
fn a_finished_task_can_be_started_again_and_its_attempts_count_on() {
    check(
        "start assign ok:1 start assign ok:1 ok:2",
        "queued > assigned > completed > queued > assigned > \
         ! report from attempt 1, but attempt 2 is current > completed",
    );
}

#[test]
fn a_stopped_task_ignores_its_late_report() {
    check(
        "start assign running:1 stop ok:1",
        "queued > assigned > running > stopped > ! cannot finish a task that is stopped",
    );
}

#[test]
fn what_is_not_running_cannot_be_stopped() {
    check(
        "stop start stop stop",
        "! cannot stop a task that is pending > queued > stopped > \
         ! cannot stop a task that is stopped",
    );
}

#[test]
fn a_running_task_cannot_be_started_twice() {
    check(
        "start start assign start",
        "queued > ! cannot start a task that is queued > assigned > \
         ! cannot start a task that is assigned",
    );
}

#[test]
fn ten_thousand_random_lives_keep_the_invariants() {
    for seed in 0..10_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut state = State::NEW;
        let mut settled = 0;
        let mut starts = 0;
        for _ in 0..rng.usize(1..40) {
            let number = rng.u32(0..6);
            let word = [
                "start", "assign", "running", "ok", "fail", "lost", "reject", "stop",
            ][rng.usize(0..8)];
            let before = state.clone();
            let Ok((next, effect)) = state.on(event(&format!("{word}:{number}")), &POLICY) else {
                continue;
            };
            starts += u32::from(word == "start");
            settled += u32::from(matches!(next, State::Done { .. }));
            assert!(
                settled <= starts,
                "seed {seed}: settled more often than started"
            );
            assert!(next.attempts() >= before.attempts(), "seed {seed}");
            let told = matches!(effect, Effect::SendStart { .. });
            assert_eq!(told, matches!(next, State::Assigned { .. }), "seed {seed}");
            if let State::Done {
                outcome: Outcome::Completed,
                ..
            } = next
            {
                assert!(
                    before.proplet().is_some(),
                    "seed {seed}: completed by nobody"
                );
            }
            state = next;
        }
    }
}
