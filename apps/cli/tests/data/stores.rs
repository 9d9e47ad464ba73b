//! Objects in stores: what holds for each vendor's, with a server on loopback.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::interrupted::piece;
use crate::server::Vendor;
use crate::store::Store;
use crate::support::{Desk, random};

const MIB: usize = 1024 * 1024;
/// How long a part of 8 MiB may take to a store on loopback.
const BEGUN_MAX: Duration = Duration::from_secs(60);

#[test]
fn everything_works_in_s3_as_in_folders() {
    everything_works(Vendor::S3);
}

#[test]
fn everything_works_in_azure_as_in_folders() {
    everything_works(Vendor::Azure);
}

fn everything_works(vendor: Vendor) {
    let Some(mut store) = Store::new(vendor) else {
        return;
    };
    // Several chunks and parts in each shard.
    let bytes = random(20 * MIB + 7, 1);
    store.desk.write("in", &bytes);
    let put = "put %/in --name ü#1 --shards ALL --geometry 2+1 --json --key-file %/key";
    let put = store.does(put).json();
    let digest = put["digest"].as_str().unwrap().to_owned();
    let before = store.objects();
    let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "aaa/x/y/ü#1.ces-000-of-003",
        "bbb/ü#1.ces-001-of-003",
        "ccc/z/ü#1.ces-002-of-003",
    ];
    assert_eq!(names, expected);
    let get = "get ü#1 --shards ALL -o - --key-file %/key";
    assert!(store.does(get).out == bytes);
    let range = "range ü#1 --shards ALL --offset 7000000 --length 3000000 --key-file %/key";
    assert!(store.does(range).out == bytes[7_000_000..10_000_000]);

    store.ask("delete bbb ü#1.ces-001-of-003");
    let verify = format!("verify ü#1 --shards ALL --digest {digest}");
    let verified = store.run(&verify);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(
        verified.text().contains("shard 1 is nowhere"),
        "{verified:?}"
    );
    let get = "get ü#1 --shards ALL -o %/out --key-file %/key";
    store.does(get);
    assert!(store.desk.read("out") == bytes);
    store.ask("flip aaa x/y/ü#1.ces-000-of-003 3000000");
    let lost = store.run(get);
    assert_eq!(lost.code, Some(1));
    let place = format!("{}://aaa/x/y/ü#1.ces-000-of-003", vendor.scheme());
    assert!(lost.err.contains(&place), "{}", lost.err);
    store.ask("flip aaa x/y/ü#1.ces-000-of-003 3000000");
    store.does(&format!("repair ü#1 --shards ALL --digest {digest}"));
    assert_eq!(store.objects(), before);

    store.does("rotate ü#1 --shards ALL --key-file %/key --new-key-file %/other");
    store.does(&verify);
    let get = "get ü#1 --shards ALL -o - --key-file %/other";
    assert!(store.does(get).out == bytes);
    let info = store.does("info ü#1 --shards ALL").text();
    assert!(info.contains("3 of 3 shards are there"), "{info}");

    let migrate = "migrate ü#1 --shards ALL --to %/a @aaa --new-name y --geometry 1+1 --remove-old";
    store.does(&format!(
        "{migrate} --key-file %/other --new-key-file %/key"
    ));
    let left: Vec<String> = store.objects().into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["aaa/y.ces-001-of-002"]);
    let get = "get y --shards @aaa -o - --key-file %/key";
    assert!(store.does(get).out == bytes);
}

#[test]
fn a_get_from_s3_goes_on_where_it_stopped() {
    a_get_goes_on(Vendor::S3);
}

#[test]
fn a_get_from_azure_goes_on_where_it_stopped() {
    a_get_goes_on(Vendor::Azure);
}

/// Flips a bit of a segment in as many shards as it does not survive, or flips it back.
fn spoil(store: &mut Store, segment: usize) {
    for shard in ["aaa x/y/x.ces-000-of-003", "bbb x.ces-001-of-003"] {
        store.ask(&format!("flip {shard} {}", piece(segment)));
    }
}

fn a_get_goes_on(vendor: Vendor) {
    let Some(mut store) = Store::new(vendor) else {
        return;
    };
    let bytes = random(20 * MIB, 4);
    store.desk.write("in", &bytes);
    store.does("put %/in --name x --shards ALL --geometry 2+1 --key-file %/key");
    spoil(&mut store, 18);
    let get = "get x --shards ALL -o %/out --threads 1 --key-file %/key";
    let stopped = store.run(get);
    assert!(stopped.err.contains("segment 18 is lost"), "{stopped:?}");
    spoil(&mut store, 18);
    // What is before that is not read again.
    spoil(&mut store, 1);
    let ended = store.does(get);
    let on = "going on at 2.0 MiB of 20.0 MiB";
    assert!(ended.err.contains(on), "{}", ended.err);
    assert!(store.desk.read("out") == bytes);
}

#[test]
fn small_objects_and_folders_beside_s3() {
    small_objects_and_folders_beside(Vendor::S3);
}

#[test]
fn small_objects_and_folders_beside_azure() {
    small_objects_and_folders_beside(Vendor::Azure);
}

fn small_objects_and_folders_beside(vendor: Vendor) {
    let Some(mut store) = Store::new(vendor) else {
        return;
    };
    store.desk.write("in", b"small");
    store.does("put %/in --shards %/a @bbb %/c --key-file %/key");
    assert_eq!(store.objects().len(), 4);
    // A bucket that is lost is one place that is lost.
    let got = store.does("get in --shards %/a @nowhere %/c -o - --key-file %/key");
    assert_eq!(got.out, b"small");
    let nowhere = format!("cannot look into {}://nowhere", vendor.scheme());
    assert!(got.err.contains(&nowhere), "{}", got.err);
    // And nothing is put where one is not.
    let put = store.run("put %/in --name y --shards %/a @nowhere --geometry 1+1 --key-file %/key");
    assert_eq!(put.code, Some(1));
    assert!(put.err.contains(&nowhere), "{}", put.err);
    assert_eq!(store.desk.files("a").len(), 4);
}

#[test]
fn a_wrong_secret_is_refused_and_not_shown() {
    let Some(mut store) = Store::new(Vendor::Azure) else {
        return;
    };
    store.desk.write("in", b"small");
    store.does("put %/in --shards @aaa --geometry 1+0 --key-file %/key");
    let wrong = ("AZURE_STORAGE_ACCOUNT_KEY", "b2YgdGVzdHo=".to_owned());
    store.desk.variables.push(wrong);
    for line in [
        "get in --shards @aaa -o - --key-file %/key",
        "put %/in --name y --shards @aaa --geometry 1+0 --key-file %/key",
    ] {
        let refused = store.run(line);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.err.contains("cannot look into az://aaa"),
            "{}",
            refused.err
        );
        // Once, however many of those that pass it on repeat it.
        let said = refused.err.matches("403 Forbidden").count();
        assert_eq!(said, 1, "{}", refused.err);
        assert!(!refused.err.contains("b2YgdGVzdH"), "{}", refused.err);
    }
    assert_eq!(store.objects().len(), 1);
}

#[test]
fn a_put_that_fails_leaves_nothing_in_s3() {
    a_put_that_fails_leaves_nothing(Vendor::S3);
}

#[test]
fn a_put_that_fails_leaves_nothing_in_azure() {
    a_put_that_fails_leaves_nothing(Vendor::Azure);
}

fn a_put_that_fails_leaves_nothing(vendor: Vendor) {
    let Some(mut store) = Store::new(vendor) else {
        return;
    };
    // A place that refuses in the end: the folder is taken away under it.
    let line = "put - --name x --shards @aaa @bbb %/c --geometry 2+1 --key-file %/key";
    let mut child = store.desk.start(&store.line(line));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&random(24 * MIB, 2)).unwrap();
    // The first part is sent in the background.
    let begun = Instant::now();
    while store.ask("uploads aaa") != 1 {
        assert!(begun.elapsed() < BEGUN_MAX, "no part was sent");
    }
    std::fs::remove_dir_all(store.desk.path("c")).unwrap();
    drop(stdin);
    let ran = store.desk.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("cannot write %/c/x.ces-002-of-003"),
        "{}",
        ran.err
    );
    assert!(store.objects().is_empty());
    if vendor.forgets_parts() {
        assert_eq!(store.unfinished(), 0);
    }

    let nobody = format!(
        "put %/key --shards {0}://aaa --endpoint http://127.0.0.1:9 --allow-http --key-file %/key",
        vendor.scheme()
    );
    let nobody = store.desk.run(&nobody);
    assert_eq!(nobody.code, Some(1));
    let place = format!("cannot look into {}://aaa", vendor.scheme());
    assert!(nobody.err.contains(&place), "{}", nobody.err);
}

#[test]
fn what_came_into_s3_under_the_name_meanwhile_stays() {
    what_came_under_the_name_meanwhile_stays(Vendor::S3);
}

#[test]
fn what_came_into_azure_under_the_name_meanwhile_stays() {
    what_came_under_the_name_meanwhile_stays(Vendor::Azure);
}

fn what_came_under_the_name_meanwhile_stays(vendor: Vendor) {
    let Some(mut store) = Store::new(vendor) else {
        return;
    };
    // In parts, and at once.
    for (name, len) in [("x", 24 * MIB), ("y", 1)] {
        let put = format!("put - --name {name} --shards @aaa @bbb --geometry 1+1");
        let put = store.line(&format!("{put} --key-file %/key"));
        let mut child = store.desk.start(&put);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&random(len, 3)).unwrap();
        // Until it has looked whether the name is free.
        std::thread::sleep(Duration::from_secs(2));
        store.ask(&format!("put bbb {name}.ces-001-of-002"));
        drop(stdin);
        let ran = store.desk.ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let shard = format!("bbb/{name}.ces-001-of-002");
        let place = format!("cannot write {}://{shard}", vendor.scheme());
        assert!(ran.err.contains(&place), "{}", ran.err);
        let objects = store.objects();
        let names: Vec<&str> = objects.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [shard]);
        store.ask(&format!("delete bbb {name}.ces-001-of-002"));
        if vendor.forgets_parts() {
            assert_eq!(store.unfinished(), 0);
        }
    }
}

#[test]
fn an_emulators_switch_leads_nowhere() {
    let mut desk = Desk::new();
    desk.variables = vec![
        ("AZURE_STORAGE_USE_EMULATOR", "true".to_owned()),
        ("AZURITE_BLOB_STORAGE_URL", "http://127.0.0.1:9".to_owned()),
    ];
    for line in [
        "get in --shards az://aaa -o - --key-file %/key",
        "get in --shards az://aaa -o - --key-file %/key --endpoint https://127.0.0.1:9",
    ] {
        let refused = desk.run(line);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let switch = "AZURE_STORAGE_USE_EMULATOR is not followed";
        assert!(refused.err.contains(switch), "{}", refused.err);
    }
}
