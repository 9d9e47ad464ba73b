//! Where the large inputs and outputs of tasks lie: a folder, or a prefix in an object store.
//!
//! ```text
//!  Location ── Depot::open ──▶ Depot ── writer(name) ──▶ Writer ── write, write, … ──▶ finish
//!  (settings)  (tries it)        │
//!                                └───── reader(name) ──▶ Reader, a `propeller_ces::ReadAt`
//! ```
//!
//! What lies here is ciphertext, CES objects of one shard, under names that say no more than which
//! task they belong to. Manager and proplets read and write the same depot, and believe nothing
//! that comes out of it: whoever opens an object finds out whether it is what was put there.
//!
//! # What is where
//!
//! ```text
//!  propeller-depot                                        the mark: which depot this is
//!  0197…-…/stdin-0123456789abcdef                         what a task gets
//!  0197…-…/stdout-1                                       what its first attempt wrote
//! ```
//!
//! Whatever else is there belongs to somebody else, and is neither read nor removed. In a folder,
//! objects and the folders of tasks are their owner's alone (modes 0600 and 0700), so the manager
//! and the proplets that share one run as the same user.
//!
//! # What a crash leaves
//!
//! An object is there as a whole or not at all. What a killed process was writing into a folder is
//! a file that [`Depot::remove_task`] and [`Depot::remove_unfinished`] remove and [`Depot::tasks`]
//! counts. In an object store it is
//! the parts of an upload that nobody sees, and many vendors charge for: give the bucket a rule
//! that ends incomplete uploads after a day or more. A process that is killed while it opens a depot
//! can leave a small object whose name begins with `propeller-depot-probe-`, or in a folder a file
//! whose name begins with `.propeller-depot`: nobody looks at them again.

mod address;
mod bounds;
mod bucket;
mod depot;
mod directory;
mod error;
mod folder;
mod location;
mod mark;
mod name;
mod range;
mod reader;
mod tally;
pub mod variables;
mod writer;

pub use address::{Address, AddressError};
pub use bounds::OBJECT_LEN_MAX;
pub use depot::Depot;
pub use error::{DepotError, Doing, OpenError};
pub use location::{Location, LocationError};
pub use mark::{Claim, Mark};
pub use name::{Name, NameError, Part};
pub use reader::Reader;
pub use tally::{Tasks, Unread};
pub use writer::{BlockingWriter, Writer};
