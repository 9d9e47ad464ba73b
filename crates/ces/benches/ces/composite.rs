//! The bare primitives in a row, with buffers that are used again: what nobody can beat with them.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use propeller_ces::format::Code;
use propeller_ces::{Cipher, Geometry};
use zstd::zstd_safe::{CCtx, CParameter, compress_bound};

/// The default segment.
pub(crate) const SEGMENT: usize = 1 << 20;

/// Compress, seal, code, hash.
pub(crate) struct Composite {
    key: LessSafeKey,
    zstd: CCtx<'static>,
    code: Code,
    k: usize,
    m: usize,
    sealed: Vec<u8>,
    parity: Vec<u8>,
}

impl Composite {
    pub(crate) fn new(geometry: Geometry, cipher: Cipher) -> Self {
        // XChaCha20-Poly1305 is this ChaCha20-Poly1305 with a key by HChaCha20.
        let algorithm = match cipher {
            Cipher::Aes256Gcm => &AES_256_GCM,
            _ => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, &[7; 32]).expect("the key has 32 bytes");
        let mut zstd = CCtx::create();
        zstd.set_parameter(CParameter::CompressionLevel(3))
            .expect("level 3 is known");
        let (k, m) = (usize::from(geometry.data()), usize::from(geometry.parity()));
        let room = compress_bound(SEGMENT) + 16 + k;
        Self {
            key: LessSafeKey::new(key),
            zstd,
            code: Code::new(geometry),
            k,
            m,
            sealed: vec![0; room],
            parity: vec![0; room.div_ceil(k) * m],
        }
    }

    /// One segment; the last byte of a hash, so that nothing is left out.
    pub(crate) fn segment(&mut self, plain: &[u8], number: u64) -> u8 {
        let len = self.zstd.compress2(&mut self.sealed[..], plain);
        let body = match len {
            Ok(len) if len < plain.len() => len,
            _ => {
                self.sealed[..plain.len()].copy_from_slice(plain);
                plain.len()
            }
        };
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&number.to_le_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut self.sealed[..body])
            .expect("it is short enough");
        self.sealed[body..body + 16].copy_from_slice(tag.as_ref());
        let piece = (body + 16).div_ceil(self.k);
        let data = piece * self.k;
        self.sealed[body + 16..data].fill(0);
        let parity = &mut self.parity[..piece * self.m];
        self.code
            .encode(&self.sealed[..data], parity, piece)
            .expect("both buffers hold their pieces");
        let pieces = self.sealed[..data].chunks_exact(piece);
        let pieces = pieces.chain(parity.chunks_exact(piece));
        pieces.fold(0, |all, piece| all ^ blake3::hash(piece).as_bytes()[31])
    }
}
