//! What holds for every depot, wherever it is.

use std::io::{Read as _, Write as _};

use propeller_ces::ReadAt as _;
use propeller_depot::{Depot, DepotError};

use crate::server::Vendor;
use crate::store::Store;
use crate::support::{Desk, MIB, get, get_all, put, random, stdin, stdout, task};

#[tokio::test(flavor = "multi_thread")]
async fn objects_come_back_from_a_folder_as_they_were() {
    let desk = Desk::claimed().await;
    come_back(&desk.depot).await;
    are_read_in_ranges(&desk.depot).await;
    are_read_by_threads(&desk.depot).await;
    are_removed(&desk.depot).await;
    assert!(desk.files().is_empty(), "{:?}", desk.files());
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_come_back_from_s3_as_they_were() {
    objects_come_back(Vendor::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_come_back_from_azure_as_they_were() {
    objects_come_back(Vendor::Azure).await;
}

async fn objects_come_back(vendor: Vendor) {
    let Some(mut store) = Store::new(vendor) else {
        return;
    };
    for place in ["aaa", "aaa/x/y"] {
        let depot = store.open(place).await.unwrap();
        come_back(&depot).await;
        are_read_in_ranges(&depot).await;
        are_read_by_threads(&depot).await;
        are_removed(&depot).await;
        assert!(store.objects().is_empty(), "{:?}", store.objects());
        assert_eq!(store.unfinished(), 0);
    }
}

/// Objects of no bytes, of less than a part, of exactly two, and of more.
async fn come_back(depot: &Depot) {
    let (input, output) = (stdin(task(1)), stdout(task(1), 1));
    assert_eq!(depot.len(input).await.unwrap(), None);
    assert!(depot.reader(input).await.unwrap().is_none());
    let missing = depot.read(input, 0..0).await.err().unwrap();
    assert!(matches!(missing, DepotError::Missing { .. }), "{missing}");
    for (seed, len) in (1_u64..).zip([0, 1, 3 * MIB, 16 * MIB, 25 * MIB + 7, 2]) {
        let bytes = random(len, seed);
        assert_eq!(put(depot, input, &bytes).await.unwrap(), len as u64);
        assert_eq!(depot.len(input).await.unwrap(), Some(len as u64));
        assert!(get_all(depot, input).await == bytes, "{len}");
    }
    put(depot, output, b"output").await.unwrap();
    assert_eq!(get_all(depot, input).await.len(), 2);
    assert_eq!(get_all(depot, output).await, b"output");
}

async fn are_read_in_ranges(depot: &Depot) {
    let name = stdout(task(2), 7);
    let bytes = random(13 * MIB + 5, 9);
    put(depot, name, &bytes).await.unwrap();
    let len = bytes.len() as u64;
    for range in [0..0, 0..1, len..len, len - 1..len, 1_000_000..12_500_000] {
        let from = usize::try_from(range.start).unwrap();
        let to = usize::try_from(range.end).unwrap();
        assert!(get(depot, name, range).await.unwrap() == bytes[from..to]);
    }
    for range in [0..len + 1, len + 1..len + 1, u64::MAX - 1..u64::MAX] {
        let refused = get(depot, name, range).await.unwrap_err();
        assert!(matches!(refused, DepotError::Range { .. }), "{refused}");
    }
}

/// With the writer of a thread, and with its reader, in any order.
async fn are_read_by_threads(depot: &Depot) {
    let name = stdout(task(3), 1);
    let bytes = random(11 * MIB + 3, 4);
    let (mut writer, written) = (depot.writer_blocking(name), bytes.clone());
    let write = move || {
        for some in written.chunks(1_300_000) {
            writer.write_all(some).unwrap();
        }
        writer.finish().unwrap()
    };
    let len = tokio::task::spawn_blocking(write).await.unwrap();
    assert_eq!(len, bytes.len() as u64);
    let reader = depot.reader(name).await.unwrap().unwrap();
    let read = move || {
        assert_eq!(reader.size().unwrap(), len);
        let mut places = vec![(0, 97), (bytes.len() - 60, 60), (5 * MIB - 3, 4 * MIB)];
        places.extend((0..10).map(|number| (number * MIB + 97, MIB)));
        places.extend([(0, bytes.len()), (bytes.len(), 0), (7 * MIB, 1), (7, 0)]);
        for (from, len) in places {
            let mut buf = vec![0; len];
            reader.read_at(&mut buf, from as u64).unwrap();
            assert!(buf == bytes[from..from + len], "{from} {len}");
        }
        for (from, len) in [(len, 1), (len - 1, 2), (len + 1, 0), (u64::MAX, 2)] {
            let refused = reader.read_at(&mut vec![0; len], from).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::UnexpectedEof);
        }
        // A reader can be handed to several threads.
        std::thread::scope(|scope| {
            for part in 0..4 {
                let (reader, bytes) = (&reader, &bytes);
                scope.spawn(move || {
                    let mut buf = vec![0; MIB];
                    let from = part * 2 * MIB + 11;
                    reader.read_at(&mut buf, from as u64).unwrap();
                    assert!(buf == bytes[from..from + MIB]);
                });
            }
        });
    };
    tokio::task::spawn_blocking(read).await.unwrap();
}

async fn are_removed(depot: &Depot) {
    put(depot, stdout(task(1), 2), b"more").await.unwrap();
    depot.remove(stdout(task(1), 2)).await.unwrap();
    depot.remove(stdout(task(1), 2)).await.unwrap();
    assert_eq!(depot.len(stdout(task(1), 2)).await.unwrap(), None);
    assert_eq!(depot.remove_task(task(1)).await.unwrap(), 2);
    assert_eq!(depot.remove_task(task(1)).await.unwrap(), 0);
    assert_eq!(depot.len(stdin(task(1))).await.unwrap(), None);
    assert_eq!(depot.remove_task(task(2)).await.unwrap(), 1);
    depot.remove(stdout(task(3), 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_finished_is_not_there() {
    let desk = Desk::claimed().await;
    let name = stdout(task(1), 1);
    put(&desk.depot, name, b"before").await.unwrap();
    let mut writer = desk.depot.writer(name);
    writer.write(&random(3 * MIB, 1)).await.unwrap();
    assert_eq!(desk.files().len(), 2);
    assert_eq!(get_all(&desk.depot, name).await, b"before");
    drop(writer);
    assert_eq!(desk.files(), [name.to_string()]);
    assert_eq!(get_all(&desk.depot, name).await, b"before");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_finished_is_not_in_s3() {
    an_unfinished_object_is_not_there(Vendor::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_finished_is_not_in_azure() {
    an_unfinished_object_is_not_there(Vendor::Azure).await;
}

async fn an_unfinished_object_is_not_there(vendor: Vendor) {
    let Some(mut store) = Store::new(vendor) else {
        return;
    };
    let name = stdout(task(1), 1);
    let depot = store.open("aaa").await.unwrap();
    put(&depot, name, b"before").await.unwrap();
    let mut writer = depot.writer(name);
    writer.write(&random(40 * MIB, 1)).await.unwrap();
    if vendor.forgets_parts() {
        assert_eq!(store.unfinished(), 1);
    }
    assert_eq!(get_all(&depot, name).await, b"before");
    drop(writer);
    // It is told in the background.
    while vendor.forgets_parts() && store.unfinished() != 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(get_all(&depot, name).await, b"before");
    assert_eq!(store.objects(), [name.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_what_was_there_when_reading_began() {
    let desk = Desk::claimed().await;
    let name = stdin(task(1));
    let old = random(7 * MIB, 1);
    put(&desk.depot, name, &old).await.unwrap();
    let reader = desk.depot.reader(name).await.unwrap().unwrap();
    put(&desk.depot, name, &random(7 * MIB, 2)).await.unwrap();
    let mut buf = vec![0; 7 * MIB];
    reader.read_at(&mut buf, 0).unwrap();
    assert!(buf == old);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_from_s3_is_what_was_there_or_nothing() {
    nothing_else_is_read(Vendor::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_from_azure_is_what_was_there_or_nothing() {
    nothing_else_is_read(Vendor::Azure).await;
}

async fn nothing_else_is_read(vendor: Vendor) {
    let Some(store) = Store::new(vendor) else {
        return;
    };
    let (name, old) = (stdin(task(1)), random(7 * MIB, 1));
    let depot = store.open("aaa").await.unwrap();
    put(&depot, name, &old).await.unwrap();
    let reader = depot.reader(name).await.unwrap().unwrap();
    put(&depot, name, &random(7 * MIB, 2)).await.unwrap();
    let read = move || reader.read_at(&mut [0; 9], 3 * MIB as u64);
    let refused = tokio::task::spawn_blocking(read).await.unwrap();
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("object store"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_is_of_no_use_after_an_error() {
    let desk = Desk::claimed().await;
    // A file has the name of the task's folder.
    std::fs::write(desk.path(task(1)), "").unwrap();
    let mut writer = desk.depot.writer(stdin(task(1)));
    let refused = writer.write(&random(3 * MIB, 1)).await.unwrap_err();
    assert!(matches!(refused, DepotError::File { .. }), "{refused}");
    let refused = writer.write(b"more").await.unwrap_err();
    assert!(matches!(refused, DepotError::Broken { .. }), "{refused}");
    let refused = writer.finish().await.unwrap_err();
    assert!(matches!(refused, DepotError::Broken { .. }), "{refused}");
    let mut file = std::fs::File::open(desk.path(task(1))).unwrap();
    assert_eq!(file.read(&mut [0]).unwrap(), 0);
}
