//! Plans as one-line scenarios.
//!
//! Proplets are `name:link:free:busy[:tee][:store]`, tasks are
//! `number[:priority][@pinned][!excluded]`, with a `*` in front if only a proplet in a TEE may have
//! it, and a `+` before that if only one that reaches the object store may.
#![cfg(test)]

use propeller_model::{PropletId, TaskId};
use propeller_scheduler::{Candidate, Link, Needs, Snapshot, Unpinned, Waiting, plan};

fn proplet(name: &str) -> PropletId {
    name.parse().unwrap()
}

fn candidate(text: &str) -> Candidate {
    let parts: Vec<&str> = text.split(':').collect();
    Candidate {
        proplet: proplet(parts[0]),
        link: match parts[1] {
            "sealed" => Link::Sealed,
            "plain" => Link::Plain,
            "mismatch" => Link::KeyMismatch,
            other => panic!("no link {other}"),
        },
        free: parts[2].parse().unwrap(),
        busy: parts[3].parse().unwrap(),
        tee: parts[4..].contains(&"tee"),
        store: parts[4..].contains(&"store"),
    }
}

fn waiting(text: &str) -> Waiting {
    let (text, excluded) = text.split_once('!').unwrap_or((text, ""));
    let (text, pinned) = text.split_once('@').unwrap_or((text, ""));
    let (number, priority) = text.split_once(':').unwrap_or((text, "50"));
    let (store, number) = (number.starts_with('+'), number.trim_start_matches('+'));
    let (tee, number) = (number.starts_with('*'), number.trim_start_matches('*'));
    Waiting {
        task: TaskId(uuid::Uuid::from_u128(number.parse().unwrap())),
        priority: priority.parse().unwrap(),
        pinned: (!pinned.is_empty()).then(|| proplet(pinned)),
        excluded: excluded
            .split(',')
            .filter(|e| !e.is_empty())
            .map(proplet)
            .collect(),
        needs: Needs { tee, store },
    }
}

fn check(proplets: &str, tasks: &str, expected: &str) {
    let any = Unpinned {
        plain: true,
        last_resort: true,
    };
    check_with(any, proplets, tasks, expected);
}

fn check_with(unpinned: Unpinned, proplets: &str, tasks: &str, expected: &str) {
    let snapshot = Snapshot {
        unpinned,
        tasks: tasks.split_whitespace().map(waiting).collect(),
        proplets: proplets.split_whitespace().map(candidate).collect(),
    };
    let placements: Vec<String> = plan(&snapshot)
        .iter()
        .map(|p| format!("{}>{} ({})", p.task.0.as_u128(), p.proplet, p.reason))
        .collect();
    assert_eq!(placements.join(", "), expected);
}

#[test]
fn tasks_spread_over_the_least_busy() {
    check(
        "a:sealed:2:0 b:sealed:2:1",
        "1 2 3",
        "1>a (least busy), 2>a (least busy), 3>b (least busy)",
    );
}

#[test]
fn what_finds_no_room_waits() {
    check("a:sealed:1:0", "1 2", "1>a (least busy)");
}

#[test]
fn higher_priority_goes_first_and_equals_keep_their_order() {
    check(
        "a:sealed:3:0",
        "1:10 2:90 3:90 4:5",
        "2>a (least busy), 3>a (least busy), 1>a (least busy)",
    );
}

#[test]
fn a_pinned_task_waits_for_its_proplet_and_blocks_nobody() {
    check("a:sealed:1:0", "1@b 2@a", "2>a (pinned)");
}

#[test]
fn a_pinned_task_is_sent_even_to_a_proplet_with_another_key() {
    check("a:sealed:1:0 w:mismatch:1:0", "1@w", "1>w (pinned)");
}

#[test]
fn a_full_proplet_with_a_session_is_worth_waiting_for() {
    check("a:sealed:0:9 p:plain:9:0 w:mismatch:9:0", "1", "");
}

#[test]
fn another_key_is_the_last_resort() {
    check("w:mismatch:1:0", "1", "1>w (last resort)");
}

#[test]
fn who_rejected_a_run_does_not_get_it_again() {
    check("a:sealed:1:0 b:sealed:1:5", "1!a", "1>b (least busy)");
}

#[test]
fn who_rejected_a_run_gets_it_again_if_there_is_nobody_else() {
    check("a:sealed:1:0", "1!a", "1>a (least busy)");
}

#[test]
fn a_better_proplet_that_is_expected_is_waited_for() {
    let none = Unpinned::default();
    check_with(
        none,
        "w:mismatch:1:0 p:plain:1:0",
        "1 2@w 3@p",
        "2>w (pinned), 3>p (pinned)",
    );
}

#[test]
fn without_proplets_there_is_no_plan() {
    check("", "1 2", "");
}

#[test]
fn what_is_attested_goes_only_where_a_tee_is_and_nobody_waits_behind_it() {
    check(
        "a:sealed:2:0 b:sealed:1:5:tee",
        "*1 *2 3",
        "1>b (least busy), 3>a (least busy)",
    );
    check("a:sealed:1:0", "*1 2", "2>a (least busy)");
}

#[test]
fn what_is_attested_goes_to_a_proplet_that_it_names_only_if_that_is_in_a_tee() {
    check("a:sealed:1:0 b:sealed:1:0:tee", "*1@a", "");
    check("a:sealed:1:0 b:sealed:1:0:tee", "*1@b", "1>b (pinned)");
}

#[test]
fn what_is_attested_is_never_said_in_plain_nor_to_another_key() {
    check("a:plain:1:0:tee b:mismatch:1:0:tee", "*1", "");
}

#[test]
fn an_ordinary_task_may_run_in_a_tee() {
    check("a:sealed:1:0:tee", "1", "1>a (least busy)");
}

#[test]
fn what_is_in_the_store_goes_only_where_that_is_reached_and_nobody_waits_behind_it() {
    check(
        "a:sealed:2:0 b:sealed:1:5:store",
        "+1 +2 3",
        "1>b (least busy), 3>a (least busy)",
    );
    check("a:sealed:1:0", "+1 2", "2>a (least busy)");
}

#[test]
fn what_is_in_the_store_goes_to_a_proplet_that_it_names_only_if_that_reaches_it() {
    check("a:sealed:1:0 b:sealed:1:0:store", "+1@a", "");
    check("a:sealed:1:0 b:sealed:1:0:store", "+1@b", "1>b (pinned)");
}

#[test]
fn what_is_in_the_store_is_never_said_in_plain_nor_to_another_key() {
    check("a:plain:1:0:store b:mismatch:1:0:store", "+1", "");
    check("a:plain:1:0:store b:mismatch:1:0:store", "+1@a +2@b", "");
}

#[test]
fn who_needs_both_gets_both() {
    check("a:sealed:1:0:tee b:sealed:1:0:store", "+*1", "");
    check(
        "a:sealed:1:0:tee b:sealed:1:0:store c:sealed:1:9:tee:store",
        "+*1 +2 *3",
        "1>c (least busy), 2>b (least busy), 3>a (least busy)",
    );
}

#[test]
fn who_rejected_what_is_in_the_store_gets_it_again_if_nobody_else_reaches_it() {
    check(
        "a:sealed:1:0:store b:sealed:1:0",
        "+1!a",
        "1>a (least busy)",
    );
}

#[test]
fn an_ordinary_task_may_go_where_the_store_is_reached() {
    check("a:sealed:1:0:store", "1", "1>a (least busy)");
}
