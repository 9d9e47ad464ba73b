//! What the evidence of an attempt is about: the second piece, beside the one that a key broker gets.
//!
//! A broker's evidence is about a key and a nonce of its own, and its report data has no room for
//! anything else. So a proplet makes a second piece, whose report data says what it ran and for whom:
//!
//! ```text
//! SHA-384( "propeller attempt evidence v1" ‖ 00
//!        ‖ task, 16 bytes ‖ attempt, u32 big-endian
//!        ‖ digest of the image's manifest, 32 bytes
//!        ‖ binding of the session with the manager, 32 bytes )
//! ```
//!
//! The session's binding is derived from its keys (see `docs/formats/wire.md`): whoever is at the
//! other end computes the same, and evidence that was made for another session says so.

use aws_lc_rs::digest::{Context, SHA384};
use propeller_model::{AttemptId, Digest};

const ATTEMPT: &[u8] = b"propeller attempt evidence v1\0";
const SESSION: &[u8] = b"propeller session evidence v1\0";

/// What evidence of one attempt is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptBinding {
    /// The attempt.
    pub attempt: AttemptId,
    /// Digest of the manifest of the image that it runs.
    pub image: Digest,
    /// Of the session in which it was given, 32 bytes.
    pub session: [u8; 32],
}

impl AttemptBinding {
    /// Its hash, 48 bytes. Padding is the platform's.
    #[must_use]
    pub fn report_data(&self) -> [u8; 48] {
        let number = self.attempt.number.to_be_bytes();
        let task = self.attempt.task.0.as_bytes();
        finished(&[ATTEMPT, task, &number, &self.image.0, &self.session])
    }
}

/// What evidence of a proplet in a session is bound to, before it is given any work:
///
/// ```text
/// SHA-384( "propeller session evidence v1" ‖ 00 ‖ u8(length) ‖ proplet's id
///        ‖ binding of the session, 32 bytes )
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionBinding<'a> {
    /// The proplet's id, at most 64 bytes long.
    pub proplet: &'a str,
    /// Of its session, 32 bytes.
    pub session: [u8; 32],
}

impl SessionBinding<'_> {
    /// Its hash, 48 bytes. Padding is the platform's.
    #[must_use]
    pub fn report_data(&self) -> [u8; 48] {
        let len = u8::try_from(self.proplet.len()).expect("ids of proplets are short");
        finished(&[SESSION, &[len], self.proplet.as_bytes(), &self.session])
    }
}

fn finished(parts: &[&[u8]]) -> [u8; 48] {
    let mut hash = Context::new(&SHA384);
    for part in parts {
        hash.update(part);
    }
    let mut bytes = [0; 48];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use propeller_model::TaskId;

    use super::*;

    fn binding() -> AttemptBinding {
        AttemptBinding {
            attempt: AttemptId {
                task: TaskId("01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()),
                number: 2,
            },
            image: Digest([0x11; 32]),
            session: [0x22; 32],
        }
    }

    /// Computed by another program: `python3 -c "import hashlib; …"` over the bytes above.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        let expected = include_str!("../../../testdata/vectors/attest/binding.txt");
        let hash = HEXLOWER.encode(&binding().report_data());
        assert_eq!(hash, expected.trim());
    }

    #[test]
    fn evidence_of_a_session_is_none_of_an_attempt() {
        let bound = SessionBinding {
            proplet: "edge-1",
            session: [0x22; 32],
        };
        let expected = include_str!("../../../testdata/vectors/attest/session.txt");
        assert_eq!(HEXLOWER.encode(&bound.report_data()), expected.trim());
        assert_ne!(bound.report_data(), binding().report_data());
    }

    #[test]
    fn every_part_of_it_counts() {
        let one = binding();
        let mut others = [one; 4];
        others[0].attempt.number = 3;
        others[1].attempt.task = TaskId("01890a5d-ac96-774b-bcce-b302099a8058".parse().unwrap());
        others[2].image.0[31] ^= 1;
        others[3].session[0] ^= 1;
        for other in others {
            assert_ne!(other.report_data(), one.report_data());
        }
    }
}
