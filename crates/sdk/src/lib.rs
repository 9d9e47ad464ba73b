//! Talks to a manager's REST API.
//!
//! ```no_run
//! # async fn example() -> Result<(), propeller_sdk::ClientError> {
//! use propeller_api::TaskRequest;
//! use propeller_sdk::{Client, ClientOptions};
//!
//! let client = Client::new(ClientOptions {
//!     base_url: "http://localhost:7070".to_owned(),
//!     token: None,
//!     ca_cert: None,
//!     insecure_skip_verify: false,
//!     timeout: std::time::Duration::from_secs(30),
//! })?;
//! let request = TaskRequest { name: Some("add".to_owned()), ..TaskRequest::default() };
//! let task = client.task_create(&request, false).await?;
//! assert_eq!(client.task_view(&task.id).await?.name, "add");
//! # Ok(())
//! # }
//! ```
//!
//! The program must have installed a rustls crypto provider before it makes a [`Client`], for
//! example with `rustls::crypto::aws_lc_rs::default_provider().install_default()`; this crate
//! chooses none, so that a process has one. It reads no environment, follows no redirect and uses
//! no proxy: a manager is where its address says.

mod answer;
mod client;
mod error;
mod logs;
mod objects;
mod page;
mod proplets;
mod reply;
mod tasks;
mod token;
mod upload;
mod watched;

pub use client::{Client, ClientOptions};
pub use error::ClientError;
pub use logs::Logs;
pub use page::Page;
pub use proplets::PropletStatus;
pub use reply::Reply;
pub use token::{InvalidToken, Token};
pub use upload::Upload;
