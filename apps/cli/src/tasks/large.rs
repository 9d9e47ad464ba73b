//! What another program of ours does with large inputs and outputs as these verbs do.

use std::error::Error;
use std::io::Write;

use indicatif::ProgressBar;
use propeller_api::{ObjectInfo, SealedObject};
use propeller_sdk::Client;

use super::seal;
use super::stdin::Large;
use super::stored::Opening;

/// Why an input or an output did not get where it was to go.
pub type LargeError = Box<dyn Error + Send + Sync>;

/// Seals an input under its key, which the task has for its `object_key`, and gives it to the task.
/// Ctrl-C is left to the caller, who drops this.
///
/// # Errors
/// The input, the manager, or what the manager has is not what was sent.
pub async fn give_stdin(input: Large, id: &str, client: &Client) -> Result<ObjectInfo, LargeError> {
    let sent = seal::upload(input, id, client, ProgressBar::hidden()).await;
    sent.map_err(Into::into)
}

/// Opens an output and writes it to `out`. Nothing is written before its key and digest are found
/// right; after an error, what was written is to be thrown away.
///
/// # Errors
/// The manager, the object, or `out`.
pub async fn copy_stdout(
    id: &str,
    sealed: &SealedObject,
    client: &Client,
    out: &mut impl Write,
) -> Result<(), LargeError> {
    let mut opening = Opening::begin(id, sealed, client).await?;
    while let Some(bytes) = opening.next().await? {
        out.write_all(&bytes)?;
    }
    Ok(())
}
