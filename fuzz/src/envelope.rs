//! Envelopes: whatever opens was sealed, and whatever is sealed opens and only whole.

use propeller_envelope::hazmat::{Entropy, seal_from};
use propeller_envelope::{Context, Keyring, WorkloadKey, open};

const CONTEXT: Context<'_> = Context::Record {
    owner: "fuzz",
    name: "envelope",
};

pub(crate) fn envelope(data: &[u8]) {
    let key = WorkloadKey::from_bytes([1; 32]);
    let keys = Keyring::new(key.clone());
    assert!(
        open(&keys, &CONTEXT, data).is_err(),
        "nobody has sealed that"
    );
    let entropy = Entropy {
        content_key: [2; 32],
        salt: [3; 32],
        nonce_prefix: [4; 7],
    };
    let sealed = seal_from(&entropy, &key, &CONTEXT, data).expect("the input is short");
    let opened = open(&keys, &CONTEXT, &sealed).expect("it was sealed with this key");
    assert_eq!(*opened, data);
    for forged in forgeries(&sealed, data) {
        assert!(
            open(&keys, &CONTEXT, &forged).is_err(),
            "a changed envelope opens"
        );
    }
}

/// The envelope with a bit flipped, cut short and made longer, at places that `data` chooses.
fn forgeries(sealed: &[u8], data: &[u8]) -> [Vec<u8>; 3] {
    let sum = data.iter().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let mut flipped = sealed.to_vec();
    flipped[sum % sealed.len()] ^= 1 << (sum % 8);
    let cut = sealed[..sum % sealed.len()].to_vec();
    let longer = [sealed, &data[..data.len().min(1)], b"x"].concat();
    [flipped, cut, longer]
}
