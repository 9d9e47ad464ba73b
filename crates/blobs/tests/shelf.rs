//! What is kept, for how long, and what a disk that lies achieves.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use propeller_blobs::{BlobError, Blobs, Options};
use propeller_envelope::{Keyring, WorkloadKey};
use propeller_model::Digest;

const PIECE: u32 = 1000;

fn keys(number: u8) -> Keyring {
    Keyring::new(WorkloadKey::from_bytes([number; 32]))
}

fn open_with(folder: &Path, bytes_max: u64, keys: Keyring) -> Arc<Blobs> {
    let options = Options {
        folder: folder.join("blobs"),
        owner: "edge-1".to_owned(),
        bytes_max,
        piece_len: PIECE,
    };
    Blobs::open(options, keys).unwrap()
}

fn open(folder: &Path) -> Arc<Blobs> {
    open_with(folder, 1 << 20, keys(1))
}

fn whole(blobs: &Blobs, digest: Digest, len: u64) -> Option<Vec<u8>> {
    let blob = blobs.get(digest, len)?;
    assert_eq!(blobs.find(digest).map(|found| found.len()), Some(len));
    Some(blobs.read(&blob)?.to_vec())
}

/// Not the real digest: whoever writes has checked that, and names are all that counts here.
fn name(number: u8) -> Digest {
    Digest([number; 32])
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("blobs")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn blobs_of_every_length_come_back_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let lengths = [0, 1, 999, 1000, 1001, 2000, 5555];
    let blobs = open(folder.path());
    for (number, len) in (0..).zip(lengths) {
        blobs.put(name(number), &content(len)).unwrap();
    }
    for blobs in [blobs, open(folder.path())] {
        for (number, len) in (0..).zip(lengths) {
            let whole = whole(&blobs, name(number), len as u64).unwrap();
            assert_eq!(whole, content(len), "{len}");
        }
        assert!(blobs.get(name(9), 1).is_none());
        // Another length is another blob, whatever its name.
        assert!(blobs.get(name(1), 2).is_none());
    }
}

#[test]
fn a_blob_can_be_read_as_far_as_it_is_written_and_is_kept_only_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    let bytes = content(1500);
    let mut writing = blobs.begin(name(1), 1500).unwrap();
    let blob = writing.blob();
    assert!(blob.piece(&keys(1), 0).is_err());
    assert_eq!(writing.push(&bytes[..1000]).unwrap(), 1);
    assert_eq!(*blob.piece(&keys(1), 0).unwrap(), bytes[..1000]);
    assert!(writing.push(&bytes[..1000]).is_err(), "the last is shorter");
    assert!(blobs.get(name(1), 1500).is_none());
    drop(writing);
    assert_eq!((files(folder.path()).len(), blobs.bytes()), (0, 0));

    let mut writing = blobs.begin(name(1), 1500).unwrap();
    writing.push(&bytes[..1000]).unwrap();
    assert!(matches!(
        writing.keep(),
        Err(BlobError::Piece { index: 1, count: 2 })
    ));
    assert_eq!(blobs.bytes(), 0);
}

#[test]
fn whoever_was_not_used_for_longest_goes_and_what_fits_nowhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let one = {
        let blobs = open(folder.path());
        blobs.put(name(1), &content(1000)).unwrap();
        blobs.bytes()
    };
    let blobs = open_with(folder.path(), 3 * one, keys(1));
    blobs.put(name(2), &content(1000)).unwrap();
    blobs.put(name(3), &content(1000)).unwrap();
    let read = blobs.get(name(1), 1000).unwrap();
    blobs.put(name(4), &content(1000)).unwrap();
    let kept = [1, 2, 3, 4].map(|number| blobs.get(name(number), 1000).is_some());
    assert_eq!(kept, [true, false, true, true]);
    assert_eq!((files(folder.path()).len(), blobs.bytes()), (3, 3 * one));
    assert!(matches!(
        blobs.begin(name(5), 4000),
        Err(BlobError::TooLarge { .. })
    ));

    // What is on its way has its room; there is nobody left who could go.
    let _under_way = [5, 6, 7].map(|number| blobs.begin(name(number), 1000).unwrap());
    assert!(matches!(blobs.begin(name(8), 1000), Err(BlobError::Full)));
    // Whoever reads reads on.
    assert_eq!(*read.piece(&keys(1), 0).unwrap(), content(1000));
}

#[test]
fn a_smaller_bound_after_a_restart_lets_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    for number in 1..=3 {
        blobs.put(name(number), &content(1000)).unwrap();
    }
    let one = blobs.bytes() / 3;
    let blobs = open_with(folder.path(), one, keys(1));
    assert_eq!(blobs.bytes(), one);
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn a_disk_that_lies_gives_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, other) = (content(2500), vec![7; 2500]);
    type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);
    let damages: [(&str, Damage<'_>); 4] = [
        ("a bit is another one", &|file| {
            let middle = file.len() / 2;
            file[middle] ^= 1;
        }),
        ("two pieces are swapped", &|file| {
            let slot = file.len() * 2 / 5;
            file.rotate_left(slot);
        }),
        ("it is cut", &|file| file.truncate(file.len() - 1)),
        ("it is empty", &Vec::clear),
    ];
    for (what, damage) in damages {
        let blobs = open(folder.path());
        blobs.put(name(1), &bytes).unwrap();
        let [path] = &*files(folder.path()) else {
            panic!("one file")
        };
        let mut file = fs::read(path).unwrap();
        damage(&mut file);
        fs::write(path, file).unwrap();
        drop(blobs);
        let blobs = open(folder.path());
        assert!(whole(&blobs, name(1), 2500).is_none(), "{what}");
        for file in files(folder.path()) {
            fs::remove_file(file).unwrap();
        }
    }
    // The file of one blob under the name of another.
    let blobs = open(folder.path());
    blobs.put(name(1), &bytes).unwrap();
    let first = files(folder.path()).remove(0);
    blobs.put(name(2), &other).unwrap();
    let second = files(folder.path()).into_iter().find(|file| *file != first);
    fs::copy(first, second.unwrap()).unwrap();
    let blobs = open(folder.path());
    assert!(whole(&blobs, name(2), 2500).is_none());
    assert!(blobs.get(name(2), 2500).is_none(), "it is forgotten");
}

#[test]
fn what_is_on_the_disk_is_sealed_to_its_owner_and_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let secret = b"a secret that is long enough to be found".repeat(30);
    open(folder.path()).put(name(1), &secret).unwrap();
    for file in files(folder.path()) {
        let file = fs::read(file).unwrap();
        assert!(!file.windows(8).any(|part| part == b"a secret"));
    }
    let len = secret.len() as u64;
    let options = Options {
        folder: folder.path().join("blobs"),
        owner: "edge-2".to_owned(),
        bytes_max: 1 << 20,
        piece_len: PIECE,
    };
    let neighbour = Blobs::open(options, keys(1)).unwrap();
    assert!(neighbour.get(name(1), len).is_some());
    assert!(whole(&neighbour, name(1), len).is_none());

    let blobs = open(folder.path());
    blobs.put(name(1), &secret).unwrap();
    blobs.rekey(keys(2));
    // Whoever got it while it was written reads on; after that it is gone with its key.
    assert!(whole(&open_with(folder.path(), 1 << 20, keys(2)), name(1), len).is_none());
}

#[test]
fn what_is_no_blob_in_the_folder_goes() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let blobs = folder.path().join("blobs");
    let hex = "00".repeat(32);
    for stray in ["1.part", "notes.txt", &format!("{hex}.999"), &hex] {
        fs::write(blobs.join(stray), "left").unwrap();
    }
    assert_eq!(open(folder.path()).bytes(), 0);
    assert_eq!(files(folder.path()).len(), 0);
}
