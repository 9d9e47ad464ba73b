//! Looking for secrets in one's own memory, with no call that a filter forbids.
#![allow(
    unsafe_code,
    reason = "whoever looks through memory reads what no type says is there"
)]

use crate::attempts::{ATTEMPTS, call};

/// Nothing found is a failure like any other.
pub(crate) fn found(count: usize) -> i64 {
    match count {
        0 => -i64::from(libc::ENODATA),
        _ => 1,
    }
}

/// Looks for what `masked` hides around its heap, its stack and its data; everywhere, page by page,
/// would take hours. What is mapped is found out with a call that the filter allows.
pub(crate) fn scan(masked: &[u8]) -> i64 {
    let heap = Box::new(0_u8);
    let (on_heap, on_stack) = (&raw const *heap as usize, &raw const masked as usize);
    let data = ATTEMPTS.as_ptr() as usize;
    let mut seen = 0;
    for place in [on_heap, on_stack, data] {
        let page = place & !4095;
        for forward in [true, false] {
            for step in 0..32_768_usize {
                let at = if forward {
                    page + step * 4096
                } else {
                    page - (step + 1) * 4096
                };
                if !mapped(at) {
                    break;
                }
                seen += occurrences(at, masked);
            }
        }
    }
    found(seen)
}

/// Whether [`scan`] finds what is there, or its finding nothing would mean nothing.
pub(crate) fn scan_works() -> i64 {
    let canary: Vec<u8> = (0..32_u8).map(|at| at.wrapping_mul(37) ^ 0x5a).collect();
    let masked: Vec<u8> = canary.iter().map(|byte| !byte).collect();
    scan(&masked)
}

fn mapped(page: usize) -> bool {
    call(
        libc::SYS_madvise,
        [page, 4096, libc::MADV_NORMAL as usize, 0, 0, 0],
    ) == 0
}

fn occurrences(page: usize, masked: &[u8]) -> usize {
    // SAFETY: the page is mapped; memory of this process that is mapped near its heap, stack or
    // data can be read, and if not, the attempt has failed.
    let bytes = unsafe { std::slice::from_raw_parts(page as *const u8, 4096) };
    let hit = |window: &[u8]| window.iter().zip(masked).all(|(a, b)| *a == !*b);
    bytes
        .windows(masked.len())
        .filter(|window| hit(window))
        .count()
}
