//! What holds for folders alone.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use propeller_depot::{DepotError, Doing, OpenError};

use crate::support::{Desk, MIB, get_all, open, put, random, stdin, stdout, task};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn objects_are_their_owners_alone() {
    let desk = Desk::claimed().await;
    put(&desk.depot, stdin(task(1)), b"x").await.unwrap();
    assert_eq!(mode(&desk.path(task(1))), 0o700);
    assert_eq!(mode(&desk.path(stdin(task(1)))), 0o600);
    assert_eq!(mode(&desk.path("propeller-depot")), 0o600);
    assert_eq!(desk.files(), [stdin(task(1)).to_string()]);
}

#[tokio::test]
async fn a_folder_has_to_be_there_and_writable() {
    let folder = tempfile::tempdir().unwrap();
    let missing = open(&folder.path().join("missing")).await.unwrap_err();
    let OpenError::Folder { source, .. } = &missing else {
        panic!("{missing}");
    };
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = open(&file).await.unwrap_err();
    assert!(matches!(refused, OpenError::NotAFolder { .. }), "{refused}");
    let below = open(&file.join("below")).await.unwrap_err();
    assert!(matches!(below, OpenError::Folder { .. }), "{below}");

    // Nobody writes there, not even root.
    let refused = open(Path::new("/proc/self")).await.unwrap_err();
    let OpenError::Probe { doing, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(*doing, Doing::Write);
    assert!(refused.to_string().contains("to write a small object"));
}

#[tokio::test]
async fn a_folder_without_its_mark_takes_nothing_and_says_of_nothing_that_it_is_missing() {
    let desk = Desk::claimed().await;
    put(&desk.depot, stdin(task(1)), b"x").await.unwrap();
    let mut begun = desk.depot.writer(stdout(task(1), 1));
    begun.write(&random(2 * MIB + 1, 1)).await.unwrap();
    // What was mounted there is not any more.
    fs::remove_file(desk.path("propeller-depot")).unwrap();
    let missing = stdin(task(2));
    let refusals = [
        begun.finish().await.err(),
        put(&desk.depot, missing, b"x").await.err(),
        desk.depot.reader(missing).await.err(),
        desk.depot.len(missing).await.err(),
    ];
    for refused in refusals.map(Option::unwrap) {
        let DepotError::File { source, .. } = &refused else {
            panic!("{refused}");
        };
        assert!(source.to_string().contains("unmounted"), "{source}");
    }
    assert_eq!(desk.files(), [stdin(task(1)).to_string()]);
    // The same one, mounted again.
    desk.depot.claim().await.unwrap();
    assert_eq!(get_all(&desk.depot, stdin(task(1))).await, b"x");
    put(&desk.depot, missing, b"x").await.unwrap();
}

#[tokio::test]
async fn links_and_pipes_are_no_objects() {
    let desk = Desk::claimed().await;
    let (link, pipe) = (stdout(task(1), 1), stdout(task(1), 2));
    put(&desk.depot, stdin(task(1)), b"x").await.unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    symlink(outside.path(), desk.path(link)).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(desk.path(pipe))
        .status();
    assert!(made.unwrap().success());
    for name in [link, pipe] {
        let refused = desk.depot.reader(name).await.unwrap_err();
        assert!(matches!(refused, DepotError::File { .. }), "{refused}");
        // Writing takes the name, and does not follow it.
        put(&desk.depot, name, b"ours").await.unwrap();
        assert_eq!(get_all(&desk.depot, name).await, b"ours");
    }
    assert_eq!(fs::read(outside.path()).unwrap(), b"");

    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("stdout-1"), "precious").unwrap();
    symlink(elsewhere.path(), desk.path(task(2))).unwrap();
    assert!(put(&desk.depot, stdout(task(2), 1), b"x").await.is_err());
    assert_eq!(desk.depot.remove_task(task(2)).await.unwrap(), 0);
    let kept = fs::read(elsewhere.path().join("stdout-1")).unwrap();
    assert_eq!(kept, b"precious");
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_and_removing_at_once_disturb_nobody() {
    let desk = Desk::claimed().await;
    let (task, other) = (task(1), desk.depot.clone());
    let remover = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Handle::current();
        for _ in 0..300 {
            runtime.block_on(other.remove(stdout(task, 1))).unwrap();
        }
    });
    for _ in 0..100 {
        put(&desk.depot, stdout(task, 2), b"x").await.unwrap();
        desk.depot.remove(stdout(task, 2)).await.unwrap();
    }
    remover.await.unwrap();
    assert!(desk.files().is_empty());
}

#[tokio::test]
async fn removing_a_task_ends_what_is_being_written_for_it() {
    let desk = Desk::claimed().await;
    let mut writer = desk.depot.writer(stdout(task(1), 1));
    writer.write(&random(2 * MIB + 1, 1)).await.unwrap();
    assert_eq!(desk.depot.remove_task(task(1)).await.unwrap(), 1);
    assert!(writer.finish().await.is_err());
    assert!(desk.files().is_empty());
}
