//! Whose object it is, and what the audit log is told.

use std::sync::Mutex;

use propeller_ces::{
    Action, Audit, EncodeError, Event, GatherError, Key, KeyRing, Label, Object, ObjectError,
    RingError, Threads, Wanted, Watch, encode,
};

use crate::objects::{key, options, other_key, random, read_with, ring, sealed, sealed_under};

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

#[test]
fn a_missing_key_is_named_and_so_are_those_at_hand() {
    let (shards, summary) = sealed(&random(10, 1), &options(2, 1));
    let keys = KeyRing::new(other_key());
    let failed = read_with(shards, &keys, Wanted::default(), Threads::ONE);
    let ObjectError::Missing { object, source } = failed.unwrap_err().open() else {
        panic!("another error")
    };
    assert_eq!(object, summary.object);
    let RingError::Missing { id, at_hand } = source else {
        panic!("another error")
    };
    assert_eq!(id, key().id());
    assert_eq!(at_hand.0, [other_key().id()]);
}

#[test]
fn a_key_of_another_tenant_opens_nothing() {
    let master = [7; 32];
    let (one, other) = (
        Key::for_tenant(&master, "one").unwrap(),
        Key::for_tenant(&master, "other").unwrap(),
    );
    let (shards, _) = sealed_under(b"for one", &options(2, 1), &one);
    let keys = KeyRing::new(other);
    let failed = read_with(shards.clone(), &keys, Wanted::default(), Threads::ONE);
    assert!(matches!(
        failed.unwrap_err().open(),
        ObjectError::Missing { .. }
    ));
    let keys = KeyRing::new(one);
    assert_eq!(
        read_with(shards, &keys, Wanted::default(), Threads::ONE)
            .unwrap()
            .0,
        b"for one"
    );
}

#[test]
fn a_header_that_was_forged_to_name_the_key_at_hand_opens_nothing() {
    let (mut shards, _) = sealed_under(b"secret", &options(2, 1), &other_key());
    for shard in &mut shards {
        shard[56..64].copy_from_slice(&key().id().0);
        crate::hostile::recheck_header(shard);
    }
    let failed = read_with(shards, &ring(), Wanted::default(), Threads::ONE);
    let error = failed.unwrap_err().open();
    assert!(matches!(error, ObjectError::Unwrap { .. }), "{error}");
}

#[test]
fn another_environment_is_refused_by_name_before_a_key_is_tried() {
    let mut options = options(2, 1);
    options.label = Some(label("test"));
    let (shards, _) = sealed(&random(10, 2), &options);
    let wanted = Wanted {
        label: Some(label("production")),
        ..Wanted::default()
    };
    let told = Mutex::new(Vec::new());
    let hook = |event: &Event| told.lock().unwrap().push(*event);
    let failed = Object::open(shards, &ring(), wanted, Audit::to(&hook));
    let ObjectError::Gather(GatherError::Label { found, wanted, .. }) = failed.unwrap_err() else {
        panic!("another error")
    };
    assert_eq!((found, wanted), (label("test"), label("production")));
    assert!(told.lock().unwrap().is_empty());
}

#[test]
fn a_key_of_one_environment_neither_writes_nor_reads_another() {
    let production = key().labelled(label("production"));
    let mut for_test = options(2, 1);
    for_test.label = Some(label("test"));
    let watch = Watch {
        audit: Audit::none(),
        progress: &mut |_| (),
    };
    let sinks = vec![std::io::sink(); 3];
    let failed = encode(&b""[..], sinks, &production, &for_test, watch);
    assert!(
        matches!(failed, Err(EncodeError::Label { .. })),
        "{failed:?}"
    );

    let (shards, _) = sealed(b"a test", &for_test);
    let keys = KeyRing::new(production.clone());
    let failed = read_with(shards, &keys, Wanted::default(), Threads::ONE);
    let error = failed.unwrap_err().open();
    assert!(matches!(error, ObjectError::Label { .. }), "{error}");

    // Without a choice the object takes the key's label.
    let (shards, summary) = sealed_under(b"for real", &options(2, 1), &production);
    assert_eq!(summary.label, label("production"));
    let read = read_with(shards, &keys, Wanted::default(), Threads::ONE);
    assert_eq!(read.unwrap().0, b"for real");
}

#[test]
fn every_use_of_a_key_is_told_with_object_and_label() {
    let told = Mutex::new(Vec::new());
    let hook = |event: &Event| told.lock().unwrap().push(*event);
    let audit = Audit::to(&hook);
    let mut options = options(2, 1);
    options.label = Some(label("test"));
    let mut shards = vec![Vec::new(); 3];
    let watch = Watch {
        audit,
        progress: &mut |_| (),
    };
    let sinks = shards.iter_mut().collect();
    let summary = encode(&b"x"[..], sinks, &key(), &options, watch).unwrap();
    Object::open(shards.clone(), &ring(), Wanted::default(), audit).unwrap();
    let keys = KeyRing::new(other_key());
    Object::open(shards, &keys, Wanted::default(), audit).unwrap_err();
    let expected = [Action::Wrapped, Action::Unwrapped, Action::Refused].map(|action| Event {
        action,
        key: key().id(),
        label: label("test"),
        object: Some(summary.object),
    });
    assert_eq!(*told.lock().unwrap(), expected);
}
