//! How much memory archives take that say or become more than they should, measured at the process:
//! zstd does not ask Rust's allocator.
//!
//! One test in a binary of its own, because the peak is the process's.
#![cfg(test)]

mod measured;

use std::io::{self, Read as _, Write as _};

use measured::{
    Image, MIB, MODULE_BYTES_MAX, UNPACKED_BYTES_MAX, forget_peak, header, peak, skipped,
};
use propeller_oci::media;

/// What a refused archive may take: the window of zstd is 8 MiB.
const MEMORY_MAX: u64 = 24 * MIB;

/// An archive, in zstd, whose only entry says that it has `said` bytes and has `there` zeros.
fn layer(name: &str, said: u64, there: u64) -> Vec<u8> {
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).expect("there is room");
    let header = header(name, said);
    zstd.write_all(header.as_bytes()).expect("memory takes it");
    io::copy(&mut io::repeat(0).take(there), &mut zstd).expect("memory takes it");
    zstd.finish().expect("memory takes it")
}

#[tokio::test]
async fn what_is_refused_takes_no_memory_of_its_size() {
    let Some(_) = forget_peak() else {
        return skipped("the kernel does not say how much memory a process takes");
    };
    let too_large = format!("size: the layers unpack to more than {UNPACKED_BYTES_MAX} bytes");
    let module = format!("size: the modules in the layers have more than {MODULE_BYTES_MAX} bytes");
    for (what, layer, why) in [
        (
            "a bomb beside the module",
            layer("readme", 600 * MIB, 600 * MIB),
            &too_large,
        ),
        (
            "a bomb that is the module",
            layer("app.wasm", 300 * MIB, 300 * MIB),
            &module,
        ),
        (
            "an entry that says that it has six gigabytes",
            layer("app.wasm", 6_000_000_000, 300 * MIB),
            &module,
        ),
        (
            "one that says so and has nothing",
            layer("app.wasm", 6_000_000_000, 0),
            &module,
        ),
    ] {
        let image = Image::new(media::TAR_ZSTD_LAYER, layer);
        let before = forget_peak().expect("it was said before");
        let refused = image.pull().await.expect_err("it is too large");
        assert_eq!(&refused.to_string(), why, "{what}");
        let after = peak().expect("it was said before");
        let taken = after.saturating_sub(before);
        println!("{what}: {} KiB", taken / 1024);
        assert!(taken < MEMORY_MAX, "{what} takes {taken} bytes");
    }
}
