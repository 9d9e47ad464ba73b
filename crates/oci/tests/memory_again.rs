//! How much memory several pulls take, one after the other, each on another thread: no more than one.
//!
//! One test in a binary of its own, because the peak is the process's.
#![cfg(test)]

mod measured;

use std::thread;

use measured::{Image, forget_peak, header, peak, skipped};
use propeller_oci::media;

const MODULE_LEN: usize = 16 << 20;
const PULLS: usize = 6;
/// The archive and what comes out of it, and a fifth for what is around them.
const MEMORY_MAX: u64 = 22 * MODULE_LEN as u64 / 10;

/// An image whose module is in an archive that nothing compresses.
fn image() -> Image {
    let mut module = vec![7; MODULE_LEN];
    module[..8].copy_from_slice(b"\0asm\x01\0\0\0");
    let mut archive = tar::Builder::new(Vec::with_capacity(MODULE_LEN + 4096));
    let header = header("app.wasm", MODULE_LEN as u64);
    archive.append(&header, &*module).expect("memory takes it");
    Image::new(
        media::TAR_LAYER,
        archive.into_inner().expect("memory takes it"),
    )
}

#[test]
fn what_one_pull_has_freed_the_next_one_has() {
    let image = image();
    let Some(before) = forget_peak() else {
        return skipped("the kernel does not say how much memory a process takes");
    };
    for _ in 0..PULLS {
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                let pulled = runtime.expect("there are threads").block_on(image.pull());
                assert_eq!(pulled.expect("it is whole").module.len(), MODULE_LEN);
            });
        });
    }
    let took = peak().expect("it was said before") - before;
    assert!(took <= MEMORY_MAX, "{PULLS} pulls took {took} bytes");
}
