//! Every bound, in one place.
//!
//! | what | bound | and then |
//! |---|---|---|
//! | a writer's memory, in a folder | 1 MiB | it waits for the disk |
//! | a writer's memory, in a store | 24 MiB; 96 MiB from 39 GiB on | it waits for the store |
//! | what of a file the disk may not have yet | 64 MiB | the writer waits for the disk |
//! | an object in a store | 195 GiB | `DepotError::TooLong` |
//! | a reader's memory | 8 MiB; in a folder none | the block that was used longest ago goes |
//! | a stream's memory | 12 MiB; in a folder 1 MiB | it waits for whoever reads it |
//! | one request to a store | 2 minutes; 5 seconds to connect | it is tried again |
//! | tries of a request | 3, in 30 seconds | `DepotError::Store` |
//! | what one look for old tasks gives | what the caller says | it is told where to go on |
//! | old objects that one look gives | 100,000 | a later look gives more, once these are gone |
//! | names in a store one look passes over | 1,000,000 | the same, or `DepotError::Crowded` |
//! | a location | 900 bytes | `LocationError::TooLong` |

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What is written to a file at once, in bytes.
pub(crate) const FILE_PART_LEN: usize = MIB;
/// How much is written to a file before its disk has to have it, in bytes: so that whoever waits for a
/// long object to get its name does not wait for all of it.
pub(crate) const FILE_SYNC_LEN: u64 = 64 * MIB as u64;
/// What is sent to a store at once, in bytes: S3 takes no less than 5 MiB, but for the last part.
const SMALL_PART_LEN: usize = 8 * MIB;
/// The same, when half of all parts are gone.
const LARGE_PART_LEN: usize = 32 * MIB;
/// The most parts that S3 makes an object of; half of them are small.
pub(crate) const PARTS_MAX: u32 = 10_000;
/// The most parts that are under way while another one is gathered.
pub(crate) const PARTS_IN_FLIGHT: usize = 2;
/// The longest object that a store takes, in bytes. A folder takes what its disk has room for.
pub const OBJECT_LEN_MAX: u64 =
    (PARTS_MAX as u64 / 2) * (SMALL_PART_LEN as u64 + LARGE_PART_LEN as u64);

/// What is read at once of a file, in bytes.
pub(crate) const FILE_BLOCK_LEN: u64 = MIB as u64;
/// What a stream asks a store for at once, in bytes.
pub(crate) const STREAM_BLOCK_LEN: u64 = 4 * MIB as u64;
/// How many of these a stream asks for at the same time.
pub(crate) const STREAM_BLOCKS: usize = 3;
/// What a reader asks a store for at once, in bytes.
pub(crate) const READER_BLOCK_LEN: u64 = 2 * MIB as u64;
/// How many of these a reader holds: where it is, two ahead, and the one before.
pub(crate) const READER_BLOCKS: usize = 4;
/// How many blocks a reader that reads in order asks for before it needs them.
pub(crate) const READER_BLOCKS_AHEAD: u64 = 2;

/// How often a request that a store did not answer is made again: with the first, three times.
pub(crate) const RETRIES_MAX: usize = 2;
/// No request is made again after that.
pub(crate) const RETRY_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a request may take, with what it carries: 32 MiB at 2.2 Mbit/s.
pub(crate) const REQUEST_TIMEOUT: &str = "120 seconds";
/// How long a store has to accept a connection.
pub(crate) const CONNECT_TIMEOUT: &str = "5 seconds";

/// How many names of a store one look for old tasks passes over.
pub(crate) const LISTED_MAX: usize = 1_000_000;
/// How many old objects one look gives: 4 MB, and far more than there are of a thousand tasks.
pub(crate) const AGED_MAX: usize = 100_000;
/// How often a file is made again in a folder that somebody else removes because it is empty.
pub(crate) const FOLDER_TRIES: usize = 100;
/// The longest location, in bytes: the key of an object has no more than 1,024 of them.
pub(crate) const LOCATION_LEN_MAX: usize = 900;

/// How long the part is that comes after so many.
pub(crate) fn part_len(sent: u32) -> usize {
    match sent < PARTS_MAX / 2 {
        true => SMALL_PART_LEN,
        false => LARGE_PART_LEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_object_has_as_many_parts_as_s3_takes() {
        let (mut len, mut parts) = (0, 0);
        while len < OBJECT_LEN_MAX {
            len += part_len(parts) as u64;
            parts += 1;
        }
        assert_eq!((len, parts), (OBJECT_LEN_MAX, PARTS_MAX));
        assert_eq!(OBJECT_LEN_MAX >> 30, 195);
    }
}
