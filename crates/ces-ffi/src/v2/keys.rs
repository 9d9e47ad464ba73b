//! Keys: 32 bytes each, and rings of them.
#![allow(
    unsafe_code,
    reason = "functions of a C library are declared with pointers"
)]

use std::ffi::{c_char, c_void};

use propeller_ces::{Audit, Event, KEY_LEN, Key, KeyRing};
use zeroize::Zeroizing;

use super::values::{CES2_LABEL_ROOM, characters, label};
use crate::border::{self, Place};
use crate::failure::{self, Failure, Status};
use crate::v1::key_of_environment;

/// Keys at hand: one to write with or none, and several to read with.
#[derive(Debug, Clone)]
pub struct Ces2Keys {
    ring: KeyRing,
    hook: Option<Hook>,
}

/// One use of a key. No part of it is secret.
#[derive(Debug)]
#[repr(C)]
pub struct Ces2Event {
    /// What was done: "wrapped", "unwrapped", "refused" or "rotated". The text is the library's.
    pub action: *const c_char,
    /// The id of the key with which it was done, or which was missing.
    pub key_id: [u8; 8],
    /// The label of the object.
    pub label: [c_char; CES2_LABEL_ROOM],
    /// The id of the object.
    pub object: [u8; 16],
}

/// Is told every use of a key, before anything is done with what came of it. The event is gone when it
/// returns.
///
/// It is called on the thread that called the library, or, for `ces2_writer_new`, on the writer's, while
/// `ces2_writer_new` runs: never after a call is over, nor once the ring is freed.
pub type Ces2Audit = Option<unsafe extern "C" fn(context: *mut c_void, event: *const Ces2Event)>;

#[derive(Debug, Clone, Copy)]
struct Hook {
    tell: unsafe extern "C" fn(*mut c_void, *const Ces2Event),
    context: *mut c_void,
}

// SAFETY: whoever sets a hook vouches that it may be called on every thread that uses the keys.
unsafe impl Send for Hook {}
// SAFETY: as above, several at once included.
unsafe impl Sync for Hook {}

impl Hook {
    fn tell(&self, event: &Event) {
        let action = match event.action.name() {
            "wrapped" => c"wrapped",
            "unwrapped" => c"unwrapped",
            "refused" => c"refused",
            "rotated" => c"rotated",
            // Keys are made, exported and imported by callers, not here.
            _ => c"used",
        };
        let event = Ces2Event {
            action: action.as_ptr(),
            key_id: event.key.0,
            label: characters(event.label),
            object: event.object.map(|id| id.0).unwrap_or_default(),
        };
        // SAFETY: whoever set the hook vouched for it; the event outlives the call.
        unsafe { (self.tell)(self.context, &raw const event) };
    }
}

const _: () = {
    const fn may_be_shared<T: Send + Sync>() {}
    may_be_shared::<Ces2Keys>();
};

impl Ces2Keys {
    pub(crate) fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Runs `run` with where uses of these keys are told.
    pub(crate) fn audited<T>(&self, run: impl FnOnce(Audit<'_>) -> T) -> T {
        match self.hook {
            None => run(Audit::none()),
            Some(hook) => run(Audit::to(&move |event| hook.tell(event))),
        }
    }
}

/// The bytes of a key, for the caller.
fn bytes_of(key: &Key) -> Zeroizing<[u8; KEY_LEN]> {
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    let digits = key.to_hex();
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit - b'a' + 10,
    };
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
    }
    bytes
}

/// Puts the key in the environment variable `CES_ENCRYPTION_KEY`, 64 hexadecimal digits, into the 32
/// bytes at `key`.
///
/// `CES_KEY` if it is not set, or is no key: nothing is made up.
///
/// # Safety
/// Where `key` is not NULL, there is room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_key_from_environment(key: *mut u8) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("key", key.cast::<[u8; KEY_LEN]>()) }?;
        place.put(*bytes_of(&key_of_environment()?));
        Ok(())
    })
}

/// Puts the key that `text`, 64 hexadecimal digits, stands for into the 32 bytes at `key`.
///
/// # Safety
/// Where they are not NULL, `text` ends with a NUL, and at `key` there is room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_key_from_hex(text: *const c_char, key: *mut u8) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("key", key.cast::<[u8; KEY_LEN]>()) }?;
        // SAFETY: the caller vouches for the NUL.
        let text = unsafe { border::text("text", text) }?;
        let text = text.ok_or_else(|| Failure::new(Status::Null, "`text` is NULL"))?;
        place.put(*bytes_of(&Key::from_hex(text)?));
        Ok(())
    })
}

/// Puts a new random key into the 32 bytes at `key`. What it seals is lost with it.
///
/// # Safety
/// Where `key` is not NULL, there is room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_key_random(key: *mut u8) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("key", key.cast::<[u8; KEY_LEN]>()) }?;
        place.put(*bytes_of(&Key::random()?));
        Ok(())
    })
}

/// Puts the key of a tenant into the 32 bytes at `key`.
///
/// It is HKDF-SHA256 (RFC 5869) of a master secret of at least 32 bytes, with the salt "wgt-ces-v1"
/// and the info "ces-pipeline-" and the tenant's name (`tenant_len` bytes of UTF-8, not empty).
///
/// # Safety
/// Where they are not NULL, `master` and `tenant` have as many bytes as is said, and at `key` there is
/// room for 32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_key_for_tenant(
    master: *const u8,
    master_len: usize,
    tenant: *const u8,
    tenant_len: usize,
    key: *mut u8,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("key", key.cast::<[u8; KEY_LEN]>()) }?;
        // SAFETY: the caller vouches for the bytes.
        let master = unsafe { border::array("master", master, master_len) }?;
        // SAFETY: as above.
        let tenant = unsafe { border::array("tenant", tenant, tenant_len) }?;
        let tenant = std::str::from_utf8(tenant);
        let tenant = tenant.map_err(|_| Failure::argument("the tenant's name is not UTF-8"))?;
        place.put(*bytes_of(&Key::for_tenant(master, tenant)?));
        Ok(())
    })
}

/// Puts the id of the key at `key`, which names it without revealing it, into the 8 bytes at `id`.
///
/// # Safety
/// Where they are not NULL, 32 bytes are at `key`, and at `id` there is room for 8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_key_id(key: *const u8, id: *mut u8) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("id", id.cast::<[u8; 8]>()) }?;
        // SAFETY: the caller vouches for the key.
        place.put(unsafe { border::key("key", key) }?.id().0);
        Ok(())
    })
}

/// Takes a key with a label.
///
/// # Safety
/// Where they are not NULL, 32 bytes are at `key`, and `label` ends with a NUL.
unsafe fn labelled(key: *const u8, text: *const c_char) -> Result<Key, Failure> {
    // SAFETY: the caller vouches for the key.
    let key = unsafe { border::key("key", key) }?;
    // SAFETY: the caller vouches for the label.
    Ok(match unsafe { label("label", text) }? {
        Some(label) => key.labelled(label),
        None => key,
    })
}

/// Makes a ring of one key, to write and to read with; or, where `key` is NULL, an empty one to read
/// with.
///
/// A key of nothing but zeros is refused with `CES_KEY`. One with a `label`, which may be NULL, is for
/// objects with this label and no others. Free the ring with `ces2_keys_free`.
///
/// # Safety
/// Where they are not NULL, 32 bytes are at `key`, `label` ends with a NUL, and at `keys` there is room
/// for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_keys_new(
    key: *const u8,
    label: *const c_char,
    keys: *mut *mut Ces2Keys,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("keys", keys) }?;
        let ring = match key.is_null() {
            true => KeyRing::reading([])?,
            // SAFETY: the caller vouches for both.
            false => KeyRing::new(unsafe { labelled(key, label) }?),
        };
        place.put(border::handle(Ces2Keys { ring, hook: None }));
        Ok(())
    })
}

/// Adds a key to read with, such as one that was written with before a rotation.
///
/// # Safety
/// Where they are not NULL, `keys` is a ring that nobody else uses, 32 bytes are at `key`, and `label`
/// ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_keys_add(
    keys: *mut Ces2Keys,
    key: *const u8,
    label: *const c_char,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for the ring.
        let keys = unsafe { border::one_mut("keys", keys) }?;
        // SAFETY: the caller vouches for both.
        let key = unsafe { labelled(key, label) }?;
        keys.ring = keys.ring.clone().and_reading([key])?;
        Ok(())
    })
}

/// Has every use of these keys told to `audit`, or, where that is NULL, to nobody.
///
/// # Safety
/// `keys` is a ring that nobody else uses. `audit` may be called with `context` on every thread that
/// uses the ring, as long as it is there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_keys_audit(
    keys: *mut Ces2Keys,
    audit: Ces2Audit,
    context: *mut c_void,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for the ring.
        let keys = unsafe { border::one_mut("keys", keys) }?;
        keys.hook = audit.map(|tell| Hook { tell, context });
        Ok(())
    })
}

/// Frees a ring, and overwrites its keys. NULL is nothing.
///
/// # Safety
/// Where `keys` is not NULL, it is of `ces2_keys_new`, nobody uses it, and this is the first time that
/// it is freed. Readers and writers need neither it nor its hook once they are made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_keys_free(keys: *mut Ces2Keys) {
    failure::quietly(|| {
        // SAFETY: the caller vouches for the same.
        unsafe { border::free(keys) }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keys_bytes_are_what_it_was_made_of() {
        let bytes: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 8 + 3).unwrap());
        assert_eq!(*bytes_of(&Key::from_bytes(bytes)), bytes);
    }
}
