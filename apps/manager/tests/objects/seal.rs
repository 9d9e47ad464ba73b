//! Objects, made and opened as clients and proplets do.

use propeller_ces::{
    Audit, Key, KeyRing, Object, Options, Threads, Wanted, Watch, encode as seal_object,
};

/// An object in one shard, and its digest.
pub(crate) fn object(plain: &[u8], key: [u8; 32]) -> (Vec<u8>, [u8; 32]) {
    let options = Options {
        geometry: propeller_ces::Geometry::WHOLE,
        ..Options::new()
    };
    let watch = Watch {
        audit: Audit::to(&|_| ()),
        progress: &mut |_| (),
    };
    let (mut shard, key) = (Vec::new(), Key::from_bytes(key));
    let summary = seal_object(plain, vec![&mut shard], &key, &options, watch).unwrap();
    (shard, summary.digest.0)
}

/// What is in an object.
pub(crate) fn opened(shard: impl propeller_ces::ReadAt, key: [u8; 32]) -> Vec<u8> {
    let keys = KeyRing::reading([Key::from_bytes(key)]).unwrap();
    let audit = Audit::to(&|_| ());
    let mut object = Object::open(vec![shard], &keys, Wanted::default(), audit).unwrap();
    let mut plain = Vec::new();
    object
        .read_to(&mut plain, Threads::ONE, &mut |_| ())
        .unwrap();
    plain
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
