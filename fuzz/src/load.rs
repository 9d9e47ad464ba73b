//! The way of a module into both engines: no panic, and one verdict on what is valid.

use bytes::Bytes;

use crate::engines::{ENGINES, End, job};

/// No module that comes from mutation exports that.
const ABSENT: &str = "a function that is nowhere exported";

/// Bytes of the component model, which only one of the engines speaks.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

pub(crate) fn load(data: &[u8]) {
    crate::inspect::inspect(data);
    let job = job(Bytes::copy_from_slice(data), ABSENT);
    let [wasmtime, interpreter] = ENGINES.run(&job);
    assert!(settled(&wasmtime) && settled(&interpreter));
    if is_component(data) {
        let refused = matches!(&interpreter, End::Refused(why) if why.starts_with("components"));
        assert!(refused, "{interpreter:?}");
        return;
    }
    assert_eq!(wasmtime, interpreter);
}

/// Nothing runs: the module is invalid, or it has no such function.
fn settled(end: &End) -> bool {
    matches!(
        end,
        End::Invalid | End::NoFunction | End::Unlinkable | End::Refused(_)
    )
}

fn is_component(data: &[u8]) -> bool {
    data.get(6..8) == COMPONENT.get(6..8) && data.starts_with(b"\0asm")
}
