//! Layered configuration that knows where every value came from.
//!
//! A value is looked for in the flags, the environment, `.env`, `config.toml` and the defaults, in
//! this order. Unknown keys are errors in files and warnings in the environment. The environment and
//! files are read in one place, [`Sources::from_process`]. Beside it is what else the `main` of every service
//! begins with: its log, and what its process gives up.

mod dotenv;
mod error;
pub mod harden;
mod images;
mod lock;
pub mod log;
mod schema;
pub mod service;
pub mod shared;
mod sources;
mod value;

pub use error::{SettingError, SettingsError};
pub use images::{Images, image_keys, images, registry};
pub use lock::{DirectoryLock, LockError};
pub use schema::{Key, Kind, Schema};
pub use sources::{Sources, host_variable, program, store_variables};
pub use value::{Settings, Source};
