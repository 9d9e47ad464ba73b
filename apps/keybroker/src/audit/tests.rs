//! Chains, and what is found when somebody has been at them.

use super::*;

const MAX: u64 = 64 * 1024;

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn started(resource: &str) -> Entry {
    Entry::new(Event::Started).about(resource)
}

fn opened(folder: &Path) -> (Audit, Found) {
    Audit::open(folder, MAX, |_| ()).unwrap()
}

/// A log of `count` lines, closed.
fn log(folder: &Path, count: usize) -> String {
    let (audit, _) = opened(folder);
    for index in 0..count {
        audit
            .record(&started(&format!("a/b/{index}")), now())
            .unwrap();
    }
    fs::read_to_string(folder.join(FILE)).unwrap()
}

#[test]
fn the_first_lines_of_a_log_are_these() {
    let folder = tempfile::tempdir().unwrap();
    assert_lines(
        &log(folder.path(), 2),
        "{\"seq\":1,\"time\":\"2026-09-21T14:13:20Z\",\"event\":\"started\",\"resource\":\"a/b/0\",\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\"}\n\
         {\"seq\":2,\"time\":\"2026-09-21T14:13:20Z\",\"event\":\"started\",\"resource\":\"a/b/1\",\"prev\":\"HASH\"}\n",
    );
}

/// Compares with the hash of the first line put in its place.
fn assert_lines(found: &str, expected: &str) {
    use aws_lc_rs::digest::{SHA256, digest};
    let first = expected.lines().next().unwrap();
    let hash = digest(&SHA256, first.as_bytes());
    let hash = data_encoding::HEXLOWER.encode(hash.as_ref());
    assert_eq!(found, expected.replace("HASH", &hash));
}

#[test]
fn a_log_goes_on_after_a_start_and_what_was_done_to_it_shows() {
    type Tamper = fn(&str) -> String;
    let cases: [(Tamper, Option<(usize, &str)>); 6] = [
        (str::to_owned, None),
        (
            |log| log.replace("a/b/1", "x/b/1"),
            Some((3, "the line before")),
        ),
        (|log| without(log, 1), Some((2, "the line before"))),
        (|log| without(log, 0), None),
        (
            |log| log.replacen('\n', "\n{}\n", 1),
            Some((2, "the line before")),
        ),
        (
            |log| log.replacen('\n', "\nx\n", 1),
            Some((2, "it is no line")),
        ),
    ];
    for (tamper, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let tampered = tamper(&log(folder.path(), 4));
        fs::write(folder.path().join(FILE), &tampered).unwrap();
        let (audit, found) = opened(folder.path());
        match (&found.broken, expected) {
            (None, None) => {}
            (Some(broken), Some((line, why))) => {
                assert_eq!(broken.line, line, "{broken}");
                assert!(broken.why.starts_with(why), "{broken}");
            }
            (found, expected) => panic!("{found:?}, and not {expected:?}"),
        }
        // What comes after is a chain of its own.
        audit.record(&started("a/b/c"), now()).unwrap();
        let (lines, last) = audit.since(3, |_| true).unwrap();
        assert_eq!(last, lines.last().unwrap()["seq"].as_u64().unwrap());
    }
}

fn without(log: &str, index: usize) -> String {
    let lines = log.lines().enumerate().filter(|(at, _)| *at != index);
    lines.map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn half_a_line_is_cut_off_and_the_chain_holds() {
    let folder = tempfile::tempdir().unwrap();
    let whole = log(folder.path(), 2);
    fs::write(folder.path().join(FILE), format!("{whole}{{\"seq\":3,")).unwrap();
    let (audit, found) = opened(folder.path());
    assert_eq!((found.torn, found.broken), (9, None));
    audit.record(&started("a/b/c"), now()).unwrap();
    drop(audit);
    let (_, found) = opened(folder.path());
    assert_eq!((found.torn, found.broken), (0, None));
}

#[test]
fn a_full_file_is_put_aside_and_the_chain_goes_across() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), 1000);
    let files = recent(folder.path()).unwrap();
    assert!(files.len() >= 2, "{files:?}");
    for file in &files {
        assert!(fs::metadata(file).unwrap().len() <= MAX);
    }
    let (audit, found) = opened(folder.path());
    assert_eq!(found.broken, None);
    let (lines, last) = audit.since(10, |_| true).unwrap();
    assert_eq!((lines.len(), last), (990, 1000));
    drop(audit);

    // A file of the middle that is gone shows, and one that was taken away from the front does not.
    let (front, middle) = (&files[0], &files[1]);
    fs::rename(front, folder.path().join("elsewhere")).unwrap();
    assert_eq!(opened(folder.path()).1.broken, None);
    fs::rename(folder.path().join("elsewhere"), front).unwrap();
    fs::remove_file(middle).unwrap();
    let broken = opened(folder.path()).1.broken.unwrap();
    assert_eq!(broken.line, 1, "{broken}");
}

#[test]
fn noise_is_rationed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (audit, _) = opened(folder.path());
    let noise = Entry::new(Event::TokenRefused).because("x\n\u{1b}[2J".repeat(1000));
    for _ in 0..5000 {
        audit.record(&noise, now()).unwrap();
    }
    audit.record(&started("a/b/c"), now()).unwrap();
    let (lines, _) = audit.since(0, |_| true).unwrap();
    let last = lines.last().unwrap();
    let unwritten = last["unwritten"].as_u64().unwrap();
    assert_eq!(unwritten + last["seq"].as_u64().unwrap(), 5001);
    assert!(unwritten > 4000, "{unwritten}");
    let why = lines[0]["why"].as_str().unwrap();
    assert!(why.len() <= 512 && !why.contains(['\n', '\u{1b}']), "{why}");
}

#[test]
fn what_cannot_be_recorded_is_an_error_and_leaves_the_chain_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), 2);
    let (audit, _) = opened(folder.path());
    let file = folder.path().join(FILE);
    let writable = std::mem::replace(&mut audit.state().file, File::open(file).unwrap());
    assert!(audit.record(&started("a/b/x"), now()).is_err());
    audit.state().file = writable;
    audit.record(&started("a/b/c"), now()).unwrap();
    drop(audit);
    assert_eq!(opened(folder.path()).1.broken, None);
}
