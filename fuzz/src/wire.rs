//! Frames, messages and upstream's JSON: what is read is written again as it was.

use std::fmt::Debug;

use propeller_wire::frame::{Frame, looks_like_frame, solicit};
use propeller_wire::images::{FromProxy, ToProxy};
use propeller_wire::message::{
    FromProplet, Input, MessageError, Output, ToProplet, decode, encode,
};
use propeller_wire::upstream;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) fn frame(data: &[u8]) {
    let Ok(frame) = Frame::read(data) else { return };
    assert!(looks_like_frame(data));
    let written = match &frame {
        Frame::Announce(announce) => announce.write(),
        Frame::Answer(answer) => answer.write(),
        Frame::Sealed(sealed) => [sealed.head, sealed.body].concat(),
        Frame::Solicit { manager } => solicit(manager),
        Frame::Reject(reject) => reject.write(),
    };
    assert_eq!(written, data);
}

/// The first byte chooses the type, the rest is its encoding.
pub(crate) fn message(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 6 {
        0 => settles::<ToProplet>(data),
        1 => settles::<FromProplet>(data),
        2 => settles_as(data, Input::from_bytes, Input::to_bytes),
        3 => settles_as(data, Output::from_bytes, Output::to_bytes),
        4 => settles::<ToProxy>(data),
        _ => settles::<FromProxy>(data),
    }
}

fn settles<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    settles_as::<T>(data, |bytes| decode(bytes), encode);
}

/// Postcard reads a varint with idle bytes too, so the encoding may differ; the value may not,
/// and it never grows.
fn settles_as<T: PartialEq + Debug>(
    data: &[u8],
    read: fn(&[u8]) -> Result<T, MessageError>,
    write: fn(&T) -> Vec<u8>,
) {
    let Ok(value) = read(data) else { return };
    let again = write(&value);
    assert!(again.len() <= data.len());
    assert_eq!(read(&again).expect("it was just encoded"), value);
}

pub(crate) fn upstream(data: &[u8]) {
    if let Some(start) = stays_readable::<upstream::Start>(data)
        && let Ok(same) = start.clone().supported()
    {
        assert_eq!(same, start);
    }
    if let Some(results) = stays_readable::<upstream::Results>(data) {
        assert!(results.failure() != Some(""));
        assert!(results.text().len() <= 6 * data.len());
    }
    stays_readable::<upstream::Create>(data);
    stays_readable::<upstream::Stop>(data);
    stays_readable::<upstream::Alive>(data);
    stays_readable::<upstream::Fetch>(data);
    stays_readable::<upstream::Chunk>(data);
}

/// What is read can be written and read again. Numbers may lose their last digit in between.
fn stays_readable<T: Serialize + DeserializeOwned>(data: &[u8]) -> Option<T> {
    let value: T = upstream::read(data).ok()?;
    let again = upstream::write(&value);
    assert!(upstream::read::<T>(&again).is_ok());
    Some(value)
}
