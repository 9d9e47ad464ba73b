//! CES objects through a depot, which is what it is for.

use std::fs::OpenOptions;

use propeller_ces::{
    Audit, Geometry, Key, KeyRing, Object, ObjectError, Options, ReadAt as _, Summary, Threads,
    Wanted, Watch, encode,
};
use propeller_depot::{Depot, Name, Reader};

use crate::server::Vendor;
use crate::store::Store;
use crate::support::{Desk, MIB, random, stdin, task};

/// Encodes into a depot, on a thread that may wait.
async fn put(depot: &Depot, name: Name, key: &Key, plain: &[u8]) -> Summary {
    let mut writer = depot.writer_blocking(name);
    let (key, plain) = (key.clone(), plain.to_vec());
    let put = move || {
        let options = Options {
            geometry: Geometry::WHOLE,
            threads: Threads::new(2),
            ..Options::new()
        };
        let watch = Watch {
            audit: Audit::none(),
            progress: &mut |_| (),
        };
        let summary = encode(&plain[..], vec![&mut writer], &key, &options, watch).unwrap();
        assert_eq!(writer.finish().unwrap(), summary.shard_len);
        summary
    };
    tokio::task::spawn_blocking(put).await.unwrap()
}

/// Decodes from a depot: all, or a range.
async fn get(
    reader: Reader,
    key: &Key,
    summary: Summary,
    range: Option<std::ops::Range<u64>>,
) -> Result<Vec<u8>, String> {
    let key = key.clone();
    let get = move || {
        let wanted = Wanted {
            digest: Some(summary.digest),
            ..Wanted::default()
        };
        let ring = KeyRing::new(key);
        let object = Object::open(vec![reader], &ring, wanted, Audit::none());
        let mut object = object.map_err(|error: ObjectError| error.to_string())?;
        let mut plain = Vec::new();
        let (threads, progress) = (Threads::new(2), &mut |_| ());
        let read = match range {
            None => object.read_to(&mut plain, threads, progress),
            Some(range) => object.read_range(range, &mut plain, threads, progress),
        };
        read.map_err(|error| error.to_string())?;
        Ok(plain)
    };
    tokio::task::spawn_blocking(get).await.unwrap()
}

async fn comes_back(depot: &Depot) {
    let key = Key::random().unwrap();
    let name = stdin(task(1));
    for len in [0, 1, MIB, 21 * MIB + 9] {
        let plain = random(len, 5);
        let summary = put(depot, name, &key, &plain).await;
        let reader = depot.reader(name).await.unwrap().unwrap();
        assert_eq!(reader.size().unwrap(), summary.shard_len);
        let got = get(reader, &key, summary, None).await.unwrap();
        assert!(got == plain, "{len}");
    }
    let plain = random(21 * MIB + 9, 6);
    let summary = put(depot, name, &key, &plain).await;
    let reader = depot.reader(name).await.unwrap().unwrap();
    let range = 15_000_000..15_000_003;
    let got = get(reader, &key, summary, Some(range)).await.unwrap();
    assert_eq!(got, plain[15_000_000..15_000_003]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_input_comes_back_from_a_folder() {
    comes_back(&Desk::claimed().await.depot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_input_comes_back_from_s3() {
    comes_back_from(Vendor::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_input_comes_back_from_azure() {
    comes_back_from(Vendor::Azure).await;
}

async fn comes_back_from(vendor: Vendor) {
    let Some(store) = Store::new(vendor) else {
        return;
    };
    comes_back(&store.open("aaa/x").await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_cut_off_or_changed_is_refused() {
    let desk = Desk::claimed().await;
    let key = Key::random().unwrap();
    let name = stdin(task(1));
    let plain = random(3 * MIB, 7);
    let summary = put(&desk.depot, name, &key, &plain).await;
    let whole = std::fs::read(desk.path(name)).unwrap();
    // A trailer that is cut off is not missed by whoever knows the digest; a piece is.
    for len in [0, 50, MIB, 2 * MIB, whole.len() - 1000] {
        let file = OpenOptions::new().write(true).open(desk.path(name));
        file.unwrap().set_len(len as u64).unwrap();
        let reader = desk.depot.reader(name).await.unwrap().unwrap();
        let refused = get(reader, &key, summary, None).await;
        assert!(refused.is_err(), "{len}");
        std::fs::write(desk.path(name), &whole).unwrap();
    }
    // It is cut off while it is being read.
    let reader = desk.depot.reader(name).await.unwrap().unwrap();
    let file = OpenOptions::new().write(true).open(desk.path(name));
    file.unwrap().set_len(MIB as u64).unwrap();
    assert!(get(reader, &key, summary, None).await.is_err());
    let mut changed = whole.clone();
    changed[2 * MIB] ^= 1;
    std::fs::write(desk.path(name), &changed).unwrap();
    let reader = desk.depot.reader(name).await.unwrap().unwrap();
    assert!(get(reader, &key, summary, None).await.is_err());
}
