//! What is looked at and removed, and what never is.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use propeller_depot::Tasks;
use uuid::Uuid;

use crate::server::Vendor;
use crate::store::Store;
use crate::support::{Desk, put, skipped, stdin, stdout, task};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn age(path: &Path, seconds: u64) {
    File::open(path).unwrap().set_modified(at(seconds)).unwrap();
}

const STAGED: &str = ".stdout-3.0123456789abcdef.part";

#[tokio::test]
async fn a_sweep_finds_tasks_of_which_nothing_is_new() {
    let desk = Desk::claimed().await;
    for (number, name, seconds) in [
        (1, stdin(task(1)), 5),
        (1, stdout(task(1), 1), 9),
        (2, stdin(task(2)), 5),
        (2, stdout(task(2), 1), 11),
        (4, stdin(task(4)), 1),
    ] {
        assert_eq!(name.task, task(number));
        put(&desk.depot, name, b"x").await.unwrap();
        age(&desk.path(name), seconds);
    }
    // A killed process left one, and another one an empty folder.
    let killed = desk.path(task(3));
    fs::create_dir(&killed).unwrap();
    fs::write(killed.join(STAGED), "half").unwrap();
    age(&killed.join(STAGED), 2);
    fs::create_dir(desk.path(task(5))).unwrap();
    age(&desk.path(task(5)), 2);

    let all = desk.depot.tasks(at(10), None, 99).await.unwrap();
    let old = [1, 3, 4, 5].map(task).to_vec();
    let mut aged = all.aged.clone();
    aged.sort();
    let expected = Tasks {
        old,
        // Of the second task as well, which has something new.
        aged: all.aged.clone(),
        unfinished: vec![task(3)],
        ..Tasks::default()
    };
    assert_eq!(all, expected);
    let of = |number| [stdin(task(number)), stdout(task(number), 1)];
    let [[one, two], [three, _], [four, _]] = [of(1), of(2), of(4)];
    assert_eq!(aged, [one, two, three, four]);
    assert!(
        desk.depot
            .tasks(at(1), None, 99)
            .await
            .unwrap()
            .old
            .is_empty()
    );
    // Two at a time, whether they are old or not.
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let some = desk.depot.tasks(at(10), after, 2).await.unwrap();
        found.push(some.old);
        after = some.next;
        if after.is_none() {
            break;
        }
    }
    let expected = [vec![task(1)], vec![task(3), task(4)], vec![task(5)]];
    assert_eq!(found, expected);

    for number in [1, 3, 4, 5] {
        desk.depot.remove_task(task(number)).await.unwrap();
    }
    let left = [stdin(task(2)), stdout(task(2), 1)].map(|name| name.to_string());
    assert_eq!(desk.files(), left);
}

#[tokio::test]
async fn what_was_begun_goes_once_nobody_has_written_to_it_for_long() {
    let desk = Desk::claimed().await;
    put(&desk.depot, stdin(task(1)), b"x").await.unwrap();
    age(&desk.path(stdin(task(1))), 2);
    let half = desk.path(task(1)).join(STAGED);
    fs::write(&half, "half").unwrap();
    assert_eq!(
        desk.depot.remove_unfinished(task(1), at(10)).await.unwrap(),
        0
    );
    assert!(half.exists());
    age(&half, 2);
    assert_eq!(
        desk.depot.remove_unfinished(task(1), at(10)).await.unwrap(),
        1
    );
    assert_eq!(desk.files(), [stdin(task(1)).to_string()]);
    assert_eq!(
        desk.depot.remove_unfinished(task(2), at(10)).await.unwrap(),
        0
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_keeps_nobody_from_looking_at_the_others() {
    let desk = Desk::claimed().await;
    for number in 1..=3 {
        put(&desk.depot, stdin(task(number)), b"x").await.unwrap();
    }
    let closed = desk.path(task(2));
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&closed).is_ok() {
        skipped("whoever may read everything, as root may, has no folder that cannot be read");
        return;
    }
    let future = at(u64::from(u32::MAX) * 2);
    let found = desk.depot.tasks(future, None, 99).await.unwrap();
    assert_eq!(found.old, [task(1), task(3)]);
    let unread: Vec<Uuid> = found.unread.iter().map(|unread| unread.task).collect();
    assert_eq!(unread, [task(2)]);
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn what_belongs_to_others_is_left_alone() {
    let desk = Desk::claimed().await;
    let ours = desk.path(task(1));
    put(&desk.depot, stdin(task(1)), b"x").await.unwrap();
    let mut foreign = Vec::new();
    for file in [
        "notes",
        "stdout-01",
        "stdin-ABC",
        "stdout-1#1",
        ".stdout-1.part",
        "stdout-9/inner",
    ] {
        foreign.push(ours.join(file));
    }
    for file in [
        "notes.txt",
        "lost+found/x",
        "01970000-0000-7000-8000-00000000000A/stdout-1",
        "01970000000070008000000000000009/stdout-1",
    ] {
        foreign.push(desk.path(file));
    }
    // A task's name, and nothing of a task in it.
    foreign.push(desk.path(task(7)).join("notes"));
    // A file that is called like a task.
    foreign.push(desk.path(task(8)));
    for file in &foreign {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "precious").unwrap();
    }
    let future = at(u64::from(u32::MAX) * 2);
    let found = desk.depot.tasks(future, None, 99).await.unwrap();
    assert_eq!(found.old, [task(1)]);
    for number in [1, 7, 8, 9, 10] {
        let removed = desk.depot.remove_task(task(number)).await.unwrap();
        assert_eq!(removed, usize::from(number == 1), "{number}");
    }
    assert!(!desk.path(stdin(task(1))).exists());
    for file in &foreign {
        assert_eq!(fs::read_to_string(file).unwrap(), "precious", "{file:?}");
    }
    assert_eq!(desk.files().len(), foreign.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_s3_looks_at_our_names_alone() {
    a_sweep_looks_at_our_names_alone(Vendor::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_azure_looks_at_our_names_alone() {
    a_sweep_looks_at_our_names_alone(Vendor::Azure).await;
}

async fn a_sweep_looks_at_our_names_alone(vendor: Vendor) {
    let Some(mut store) = Store::new(vendor) else {
        return;
    };
    let foreign = [
        "notes",
        "x/01970000-0000-7000-8000-00000000000A/stdout-1",
        "x/01970000-0000-7000-8000-000000000001/notes",
        "x/01970000-0000-7000-8000-000000000001/stdout-1/x",
        "x/notes",
        "xx/01970000-0000-7000-8000-000000000001/stdout-1",
    ];
    for key in foreign {
        store.put(key);
    }
    let depot = store.open("aaa/x").await.unwrap();
    for number in 1..=5 {
        put(&depot, stdin(task(number)), b"x").await.unwrap();
        put(&depot, stdout(task(number), 1), b"x").await.unwrap();
    }
    let past = depot.tasks(at(1_000_000_000), None, 99).await.unwrap();
    assert_eq!(past, Tasks::default());
    let future = at(u64::from(u32::MAX) * 2);
    let all: Vec<Uuid> = (1..=5).map(task).collect();
    assert_eq!(depot.tasks(future, None, 5).await.unwrap().old, all);
    let some = depot.tasks(future, None, 2).await.unwrap();
    assert_eq!(some.old, all[..2]);
    assert_eq!(some.next, Some(task(2)));
    let rest = depot.tasks(future, some.next, 99).await.unwrap();
    assert_eq!(rest.old, all[2..]);
    assert_eq!(rest.next, None);
    for number in 1..=6 {
        let removed = depot.remove_task(task(number)).await.unwrap();
        assert_eq!(removed, if number == 6 { 0 } else { 2 });
    }
    let mut left = foreign.map(str::to_owned);
    left.sort();
    assert_eq!(store.objects(), left);
}
