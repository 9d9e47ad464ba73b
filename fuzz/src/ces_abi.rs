//! The C ABI of CES: shards that somebody tampered with, and arguments that no program should pass.
#![allow(unsafe_code, reason = "what is tried is what a C program may pass")]

mod streams;

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::LazyLock;

use propeller_ces_ffi::Status;
use propeller_ces_ffi::v1::{
    FFIShard, ces_free, ces_free_result, ces_free_shards, ces_last_error, ces_last_status,
    ces_new_with_key, ces_process, ces_reconstruct,
};
use propeller_ces_ffi::v2::keys::{Ces2Keys, ces2_keys_free, ces2_keys_new};
use propeller_ces_ffi::v2::reader::{
    Ces2Reader, ces2_reader_free, ces2_reader_open, ces2_reader_read_at,
};

const KEY: [u8; 32] = [7; 32];
const PLAIN: &[u8] = b"what the shards of the object give back, or nothing at all";
/// Deeds that are done: more only take longer.
const DEEDS_MAX: usize = 64;
/// As many shards as the object has, and as many again for what is made of them.
const ROOM: usize = 24;

static SHARDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let pipeline = pipeline();
    // SAFETY: the pipeline is new, and the plaintext is as long as it says.
    let made = unsafe { ces_process(pipeline, PLAIN.as_ptr(), PLAIN.len()) };
    assert_eq!(made.count, 12);
    let shards = (0..made.count).map(|place| {
        // SAFETY: there are so many shards, each as long as it says.
        unsafe {
            let shard = &*made.shards.add(place);
            std::slice::from_raw_parts(shard.data, shard.len).to_vec()
        }
    });
    let shards = shards.collect();
    // SAFETY: both are as they were given, and freed once.
    unsafe {
        ces_free_shards(made);
        ces_free(pipeline);
    }
    shards
});

fn pipeline() -> *mut c_void {
    // SAFETY: the key has 32 bytes.
    let pipeline = unsafe { ces_new_with_key(3, KEY.as_ptr()) };
    assert!(!pipeline.is_null());
    pipeline
}

/// What a program hands over.
struct Passed {
    bytes: Vec<Vec<u8>>,
    shards: Vec<FFIShard>,
    present: Vec<c_int>,
    /// Where the plaintext is read, and how much of it.
    range: (u64, usize),
}

impl Passed {
    /// Four bytes of `data` are one deed: which shard, what happens to it, and where.
    fn new(data: &[u8]) -> Self {
        let mut passed = Self {
            bytes: SHARDS.clone(),
            shards: Vec::new(),
            present: vec![1; ROOM],
            range: (0, PLAIN.len()),
        };
        let mut last = Vec::new();
        for deed in data.as_chunks::<4>().0.iter().take(DEEDS_MAX) {
            passed.happens(*deed, data, &mut last);
        }
        passed.bytes.truncate(ROOM);
        passed.shards = passed
            .bytes
            .iter_mut()
            .map(|shard| FFIShard {
                data: shard.as_mut_ptr(),
                len: shard.len(),
            })
            .collect();
        for (place, len) in last {
            if let Some(shard) = passed.shards.get_mut(place) {
                // NULL with a length, or a length that nothing has.
                shard.data = if len == usize::MAX {
                    shard.data
                } else {
                    ptr::null_mut()
                };
                shard.len = len;
            }
        }
        passed
    }

    fn happens(&mut self, deed: [u8; 4], data: &[u8], last: &mut Vec<(usize, usize)>) {
        let [place, what, high, low] = deed;
        let place = usize::from(place) % self.bytes.len().max(1);
        let at = usize::from(u16::from_be_bytes([high, low]));
        let Some(shard) = self.bytes.get_mut(place) else {
            return;
        };
        match what % 10 {
            0 if !shard.is_empty() => {
                let at = at % shard.len();
                shard[at] ^= 1 << (what >> 5);
            }
            1 => shard.truncate(at),
            2 => self.present[place] = 0,
            3 => *shard = data.to_vec(),
            4 => shard.extend_from_slice(data),
            5 => self.bytes.swap(place, 0),
            6 => {
                let copy = shard.clone();
                self.bytes.push(copy);
            }
            7 => last.push((place, at)),
            8 => last.push((place, usize::MAX)),
            _ => self.range = (at as u64, usize::from(what)),
        }
    }
}

/// What opens is what was sealed; what does not has a reason.
pub(crate) fn abi(data: &[u8]) {
    let passed = Passed::new(data);
    reconstruct(&passed);
    read(&passed);
    streams::streams(&passed, data);
}

fn reconstruct(passed: &Passed) {
    let pipeline = pipeline();
    let (shards, present) = (passed.shards.as_ptr(), passed.present.as_ptr());
    // SAFETY: the arrays are as long as is said, and shards that can be read as long as they say.
    let result = unsafe { ces_reconstruct(pipeline, shards, passed.shards.len(), present) };
    match result.success {
        1 => {
            assert!(result.error_msg.is_null() && ces_last_error().is_null());
            // SAFETY: so many bytes are there.
            let plain = unsafe { std::slice::from_raw_parts(result.data, result.data_len) };
            assert_eq!(plain, PLAIN, "nobody has sealed that");
        }
        0 => {
            assert!(result.data.is_null() && result.data_len == 0);
            assert!(!result.error_msg.is_null() && !ces_last_error().is_null());
            let status = ces_last_status();
            assert!(
                status != Status::Ok && status != Status::Panic,
                "{status:?}"
            );
        }
        other => panic!("success is {other}"),
    }
    // SAFETY: both are as they were given, and freed once.
    unsafe {
        ces_free_result(result);
        ces_free(pipeline);
    }
}

/// Reads shards that are in memory.
unsafe extern "C" fn read_at(
    context: *mut c_void,
    input: u32,
    offset: u64,
    buffer: *mut u8,
    len: usize,
) -> c_int {
    // SAFETY: this is what `read` gave, and it is still there.
    let shards = unsafe { &*context.cast::<Vec<Vec<u8>>>() };
    let from = usize::try_from(offset).expect("it was judged by the size");
    let bytes = &shards[input as usize][from..from + len];
    // SAFETY: the library has room for as much as it asks for.
    unsafe { buffer.copy_from_nonoverlapping(bytes.as_ptr(), len) };
    0
}

fn read(passed: &Passed) {
    let sizes: Vec<u64> = passed
        .bytes
        .iter()
        .map(|shard| shard.len() as u64)
        .collect();
    let context = (&raw const passed.bytes).cast_mut().cast();
    let mut keys: *mut Ces2Keys = ptr::null_mut();
    let mut reader: *mut Ces2Reader = ptr::null_mut();
    let (offset, len) = passed.range;
    let mut plain = vec![0; len];
    // SAFETY: every pointer is to what its function asks for, and every handle is freed once.
    let (opened, got) = unsafe {
        assert_eq!(
            ces2_keys_new(KEY.as_ptr(), ptr::null(), &raw mut keys),
            Status::Ok
        );
        let (sizes, count) = (sizes.as_ptr(), sizes.len());
        let at = Some(read_at as unsafe extern "C" fn(_, _, _, _, _) -> _);
        let any = ptr::null();
        let opened = ces2_reader_open(keys, sizes, count, at, context, any, 1, &raw mut reader);
        let got = ces2_reader_read_at(reader, offset, plain.as_mut_ptr(), len);
        ces2_reader_free(reader);
        ces2_keys_free(keys);
        (opened, got)
    };
    assert!(opened != Status::Panic && got != Status::Panic);
    assert_eq!(reader.is_null(), opened != Status::Ok);
    if got == Status::Ok {
        let from = usize::try_from(offset).expect("it is 16 bits");
        assert_eq!(plain, PLAIN[from..from + len], "nobody has sealed that");
    }
}
