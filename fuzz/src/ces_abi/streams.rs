//! What streams: shards that are verified, repaired, described and copied, headers that are rotated,
//! and objects that are pushed.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::LazyLock;

use propeller_ces_ffi::Status;
use propeller_ces_ffi::v2::keys::{Ces2Keys, ces2_keys_free, ces2_keys_new};
use propeller_ces_ffi::v2::options::{
    Ces2Options, ces2_options_free, ces2_options_geometry, ces2_options_level, ces2_options_new,
    ces2_options_segment_size, ces2_options_threads,
};
use propeller_ces_ffi::v2::reader::{
    Ces2Reader, ces2_reader_copy, ces2_reader_copy_range, ces2_reader_damage, ces2_reader_free,
    ces2_reader_info, ces2_reader_open,
};
use propeller_ces_ffi::v2::shards::{ces2_free_text, ces2_repair, ces2_rotate, ces2_verify};
use propeller_ces_ffi::v2::values::{Ces2Info, Ces2Report, Ces2Wanted};
use propeller_ces_ffi::v2::writer::{
    Ces2Writer, ces2_writer_finish, ces2_writer_free, ces2_writer_new, ces2_writer_push,
};

use super::{KEY, PLAIN, Passed, SHARDS, read_at};

const NEW_KEY: [u8; 32] = [8; 32];
/// How many bytes of a shard its header has.
const HEADER_LEN: usize = 120;
/// How much plaintext is pushed: more only takes longer.
const PUSHED_MAX: usize = 70_000;

/// What names the object of [`SHARDS`] and all that is in it.
static DIGEST: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let inputs = Inputs::new(&SHARDS);
    let ring = Ring::new(&KEY);
    let (status, reader) = inputs.open(&ring, ptr::null());
    assert_eq!(status, Status::Ok);
    reader.info().digest
});

/// A result before there is one: a call sets it to zeros, or to what it found.
fn unset<T>() -> T {
    // SAFETY: only used for results of the ABI, which are numbers and pointers.
    unsafe { std::mem::zeroed() }
}

/// A ring that is freed once.
struct Ring(*mut Ces2Keys);

impl Ring {
    fn new(key: &[u8; 32]) -> Self {
        let mut keys = ptr::null_mut();
        // SAFETY: the key has 32 bytes, and there is room for the ring.
        let status = unsafe { ces2_keys_new(key.as_ptr(), ptr::null(), &raw mut keys) };
        assert_eq!(status, Status::Ok);
        Self(keys)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it was made here, and is freed once.
        unsafe { ces2_keys_free(self.0) };
    }
}

/// A reader that is freed once, or NULL.
struct Reader(*mut Ces2Reader);

impl Reader {
    fn info(&self) -> Ces2Info {
        let mut info = unset();
        // SAFETY: the reader is open, and there is room.
        let status = unsafe { ces2_reader_info(self.0, &raw mut info) };
        assert_eq!(status, Status::Ok);
        info
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: it was made here, and is freed once.
        unsafe { ces2_reader_free(self.0) };
    }
}

/// Shards in memory, as they are handed over.
struct Inputs<'a> {
    shards: &'a Vec<Vec<u8>>,
    sizes: Vec<u64>,
}

impl<'a> Inputs<'a> {
    fn new(shards: &'a Vec<Vec<u8>>) -> Self {
        let sizes = shards.iter().map(|shard| shard.len() as u64).collect();
        Self { shards, sizes }
    }

    fn context(&self) -> *mut c_void {
        ptr::from_ref(self.shards).cast_mut().cast()
    }

    fn open(&self, ring: &Ring, wanted: *const Ces2Wanted) -> (Status, Reader) {
        let mut reader = ptr::dangling_mut();
        let (sizes, count, context) = (self.sizes.as_ptr(), self.sizes.len(), self.context());
        let (keys, place) = (ring.0, &raw mut reader);
        // SAFETY: every pointer is to what the function asks for.
        let status = unsafe {
            ces2_reader_open(keys, sizes, count, Some(read_at), context, wanted, 1, place)
        };
        assert_ne!(status, Status::Panic);
        assert_eq!(reader.is_null(), status != Status::Ok);
        (status, Reader(reader))
    }
}

/// What shards are written to; when there is no room left, it fails.
struct Sinks {
    shards: Vec<Vec<u8>>,
    room: usize,
}

impl Sinks {
    fn new(room: usize) -> Self {
        let shards = vec![Vec::new(); 16];
        Self { shards, room }
    }
}

unsafe extern "C" fn write(context: *mut c_void, shard: u32, data: *const u8, len: usize) -> c_int {
    // SAFETY: the sinks are there, and nobody else uses them; the data is as long as it says.
    let (sinks, data) = unsafe {
        let sinks = &mut *context.cast::<Sinks>();
        (sinks, std::slice::from_raw_parts(data, len))
    };
    let Some(room) = sinks.room.checked_sub(len) else {
        return 28;
    };
    sinks.room = room;
    sinks.shards[shard as usize].extend_from_slice(data);
    0
}

/// What is said, rebuilt and copied is what was sealed.
pub(super) fn streams(passed: &Passed, data: &[u8]) {
    let inputs = Inputs::new(&passed.bytes);
    let digest = *DIGEST;
    let wanted = Ces2Wanted {
        object: ptr::null(),
        digest: digest.as_ptr(),
        label: ptr::null(),
    };
    verified(&inputs, ptr::null());
    let report = verified(&inputs, &raw const wanted);
    if let Some(report) = report {
        assert_eq!((report.digest, report.agreeing), (digest, 0));
        assert_eq!(report.plain_len, PLAIN.len() as u64);
    }
    let named = data.first_chunk::<2>().unwrap_or(&[0, 11]);
    repaired(&inputs, &wanted, *named);
    copied(&inputs, &wanted, passed.range);
    if let Some(header) = passed.bytes.first().and_then(|shard| shard.first_chunk()) {
        rotated(header);
    }
    pushed(data);
}

fn verified(inputs: &Inputs<'_>, wanted: *const Ces2Wanted) -> Option<Ces2Report> {
    let (sizes, count) = (inputs.sizes.as_ptr(), inputs.sizes.len());
    let mut report: Ces2Report = unset();
    report.plain_len = 4711;
    let mut damage: *mut c_char = ptr::dangling_mut();
    let (report_place, damage_place) = (&raw mut report, &raw mut damage);
    let context = inputs.context();
    // SAFETY: every pointer is to what the function asks for, and the text is freed once.
    let status = unsafe {
        let at = Some(read_at as unsafe extern "C" fn(_, _, _, _, _) -> _);
        let status = ces2_verify(
            sizes,
            count,
            at,
            context,
            wanted,
            report_place,
            damage_place,
        );
        if status == Status::Ok {
            ces2_free_text(damage);
        }
        status
    };
    assert_ne!(status, Status::Panic);
    if status != Status::Ok {
        assert!(damage.is_null() && report.plain_len == 0);
        return None;
    }
    assert!(report.whole <= report.readable && report.readable <= 1);
    assert_eq!(report.readable == 1, report.lost == 0);
    assert!(report.whole == 0 || damage.is_null());
    Some(report)
}

fn repaired(inputs: &Inputs<'_>, wanted: &Ces2Wanted, named: [u8; 2]) {
    let named = named.map(|index| u32::from(index % 13));
    let mut sinks = Sinks::new(usize::MAX);
    let (sizes, count) = (inputs.sizes.as_ptr(), inputs.sizes.len());
    let (context, out) = (inputs.context(), (&raw mut sinks).cast());
    // SAFETY: every pointer is to what the function asks for.
    let status = unsafe {
        ces2_repair(
            sizes,
            count,
            Some(read_at),
            context,
            wanted,
            named.as_ptr(),
            named.len(),
            Some(write),
            out,
        )
    };
    assert_ne!(status, Status::Panic);
    if status == Status::Ok {
        for index in named.map(|index| index as usize) {
            let (built, sealed) = (&sinks.shards[index], &SHARDS[index]);
            assert_eq!(built.len(), sealed.len());
            // The key's wrapping stands in the header, and is nothing that the digest names.
            assert_eq!(
                built[HEADER_LEN..],
                sealed[HEADER_LEN..],
                "it is another shard"
            );
        }
    }
}

fn copied(inputs: &Inputs<'_>, wanted: &Ces2Wanted, range: (u64, usize)) {
    let ring = Ring::new(&KEY);
    let (status, reader) = inputs.open(&ring, wanted);
    if status != Status::Ok {
        return;
    }
    let info = reader.info();
    assert_eq!((info.digest, info.data, info.parity), (*DIGEST, 8, 4));
    assert_eq!(info.plain_len, PLAIN.len() as u64);
    let (mut whole, mut part) = (Sinks::new(usize::MAX), Sinks::new(range.1));
    let mut damage: *mut c_char = ptr::dangling_mut();
    let (from, len) = (range.0, range.1 as u64);
    // SAFETY: the reader is open, there is room for what is written, and the text is freed once.
    let (all, some) = unsafe {
        let all = ces2_reader_copy(reader.0, Some(write), (&raw mut whole).cast());
        let out = (&raw mut part).cast();
        let some = ces2_reader_copy_range(reader.0, from, len, Some(write), out);
        assert_eq!(ces2_reader_damage(reader.0, &raw mut damage), Status::Ok);
        ces2_free_text(damage);
        (all, some)
    };
    assert!(all != Status::Panic && some != Status::Panic);
    if all == Status::Ok {
        assert_eq!(whole.shards[0], PLAIN, "nobody has sealed that");
    }
    if some == Status::Ok {
        let from = usize::try_from(from).expect("it is 16 bits");
        assert_eq!(part.shards[0], PLAIN[from..from + range.1]);
    }
}

fn rotated(old: &[u8; HEADER_LEN]) {
    let (from, to) = (Ring::new(&KEY), Ring::new(&NEW_KEY));
    let rotate = |header: &mut [u8; HEADER_LEN]| {
        let mut changed: c_int = 7;
        // SAFETY: the header is as long as it is to be, and the rings are there.
        let status = unsafe { ces2_rotate(header.as_mut_ptr(), from.0, to.0, &raw mut changed) };
        (status, changed)
    };
    let mut header = *old;
    let (status, changed) = rotate(&mut header);
    assert_ne!(status, Status::Panic);
    if status == Status::Ok {
        assert_eq!(changed == 1, header != *old);
        assert_eq!(rotate(&mut header), (Status::Ok, 0));
    } else {
        assert!(changed == 0 && header == *old);
    }
    assert!(status == Status::Ok || old[..] != SHARDS[0][..HEADER_LEN]);
}

/// Options of which some are none.
fn options(data: [u8; 6]) -> *mut Ces2Options {
    let [pieces, parity, level, size, threads, _] = data;
    let level = [0, 1, 3, 9, 23, -1][usize::from(level % 6)];
    let size = [65_536, 1 << 20, 65_537][usize::from(size % 3)];
    let mut options = ptr::null_mut();
    // SAFETY: there is room for the options, and nobody else uses them.
    unsafe {
        assert_eq!(ces2_options_new(&raw mut options), Status::Ok);
        let (pieces, parity) = (u32::from(pieces % 8), u32::from(parity % 8));
        let set = [
            ces2_options_geometry(options, pieces, parity),
            ces2_options_level(options, level),
            ces2_options_segment_size(options, size),
            ces2_options_threads(options, u32::from(threads % 4)),
        ];
        assert!(
            set.iter()
                .all(|status| matches!(status, Status::Ok | Status::Argument))
        );
    }
    options
}

fn pushed(data: &[u8]) {
    let [chosen @ .., room] = *data.first_chunk::<7>().unwrap_or(&[3, 2, 2, 0, 1, 40, 0]);
    let piece = usize::from(chosen[5]) * 257 + 1;
    let plain = data.repeat(piece);
    let plain = &plain[..plain.len().min(PUSHED_MAX)];
    // Every other one has no room for its shards.
    let room = match room % 2 {
        0 => usize::MAX,
        _ => usize::from(room) * 64,
    };
    let mut sinks = Sinks::new(room);
    let (ring, options) = (Ring::new(&KEY), options(chosen));
    let mut writer: *mut Ces2Writer = ptr::null_mut();
    let mut info: Ces2Info = unset();
    info.plain_len = 4711;
    let out = (&raw mut sinks).cast();
    // SAFETY: every pointer is to what its function asks for, and every handle is freed once.
    let (began, spent, ended) = unsafe {
        let began = ces2_writer_new(options, ring.0, Some(write), out, &raw mut writer);
        ces2_options_free(options);
        let pieces = plain.chunks(piece);
        let statuses = pieces.map(|piece| ces2_writer_push(writer, piece.as_ptr(), piece.len()));
        let failed = statuses.filter(|status| *status != Status::Ok);
        // What comes after the first failure finds the writer spent.
        let failed: Vec<Status> = failed.collect();
        let ended = ces2_writer_finish(writer, &raw mut info);
        let spent = failed.iter().skip(1).all(|status| *status == Status::Spent);
        assert!(failed.is_empty() || ended == Status::Spent);
        assert_ne!(failed.first(), Some(&Status::Panic));
        ces2_writer_free(writer);
        (began, spent, ended)
    };
    assert!(began == Status::Ok && spent && ended != Status::Panic);
    if ended != Status::Ok {
        assert!(room != usize::MAX && info.plain_len == 0, "{ended:?}");
        return;
    }
    assert_eq!(info.plain_len, plain.len() as u64);
    let shards = usize::from(info.data) + usize::from(info.parity);
    sinks.shards.truncate(shards);
    let inputs = Inputs::new(&sinks.shards);
    let (status, reader) = inputs.open(&ring, ptr::null());
    assert_eq!(status, Status::Ok);
    let mut whole = Sinks::new(usize::MAX);
    // SAFETY: the reader is open.
    let status = unsafe { ces2_reader_copy(reader.0, Some(write), (&raw mut whole).cast()) };
    assert_eq!(status, Status::Ok);
    assert!(whole.shards[0] == plain, "it is not what was pushed");
}
