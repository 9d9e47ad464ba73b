//! A large standard input on its way to the manager, sealed here.
//!
//! ```text
//! file or pipe ─▶ encode, on a thread of its own ─▶ pipe ─▶ body of the request
//! ```

use std::io;
use std::path::PathBuf;
use std::thread;

use indicatif::ProgressBar;
use propeller_api::ObjectInfo;
use propeller_ces::{Audit, EncodeError, Geometry, Options, Summary, Watch, encode};
use propeller_sdk::{Client, ClientError};
use tokio::sync::oneshot;

use super::pipe::{PipeWriter, body, pipe};
use super::stdin::Large;
use super::stored::threads;
use crate::Ui;
use crate::error::{CliError, Exit};

/// Why a standard input was not uploaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealFailure {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot seal it")]
    Seal(#[source] EncodeError),
    #[error("cannot start a thread that seals it")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Client(ClientError),
    /// What the manager has would be refused by whoever opens it, at the latest.
    #[error(
        "the manager has object {} of {} bytes, and object {} of {} bytes was sent",
        kept.digest, kept.length, sent.digest, sent.length
    )]
    Another { sent: ObjectInfo, kept: ObjectInfo },
    #[error("interrupted")]
    Interrupted,
}

/// The bar of an input that is sealed and uploaded.
pub(super) fn bar(input: &Large, ui: &Ui<'_>) -> ProgressBar {
    ui.progress_of(input.len, format!("Sealing {}", input.path.display()))
}

/// Seals an input and gives it to a task, and shows how far that is. Ctrl-C ends it with an error.
pub(super) async fn send(
    input: Large,
    id: &str,
    client: &Client,
    bar: ProgressBar,
) -> Result<ObjectInfo, SealFailure> {
    let sent = tokio::select! {
        sent = upload(input, id, client, bar.clone()) => sent,
        Ok(()) = tokio::signal::ctrl_c() => Err(SealFailure::Interrupted),
    };
    bar.finish_and_clear();
    sent
}

/// The same for whoever hears Ctrl-C itself, and drops this then.
pub(super) async fn upload(
    input: Large,
    id: &str,
    client: &Client,
    bar: ProgressBar,
) -> Result<ObjectInfo, SealFailure> {
    let path = input.path.clone();
    let (writer, mut chunks) = pipe();
    let (tell, mut sealed) = oneshot::channel();
    // Nobody waits for the thread: it may be reading from a pipe that says nothing. Once nobody
    // reads what it writes, it ends by itself, at the latest with the process.
    thread::Builder::new()
        .name("seal".to_owned())
        .spawn(move || seal(input, writer, &bar, tell))
        .map_err(SealFailure::Thread)?;
    // The manager has few places for uploads: none is held while the input does not come.
    let first = chunks.recv().await;
    let kept = match client.task_stdin(id, body(first, chunks)).await {
        Ok(kept) => kept.into_value(),
        // What broke the request off, if it was not the request that broke the sealing off.
        Err(error) => {
            return Err(match sealed.try_recv() {
                Ok(Err(cause)) if !matches!(cause, EncodeError::Shard { .. }) => {
                    sealing(cause, path)
                }
                _ => SealFailure::Client(error),
            });
        }
    };
    match sealed.await {
        Ok(Ok(summary)) => compare(&summary, kept),
        Ok(Err(error)) => Err(sealing(error, path)),
        Err(gone) => Err(SealFailure::Thread(io::Error::other(gone))),
    }
}

/// What comes after something that listened for Ctrl-C: nobody else hears it any more.
pub(super) async fn interruptible(
    work: impl Future<Output = Result<Exit, CliError>>,
) -> Result<Exit, CliError> {
    tokio::select! {
        done = work => done,
        Ok(()) = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

/// What the thread does. It tells how it went before the body of the request ends.
fn seal(
    input: Large,
    mut writer: PipeWriter,
    bar: &ProgressBar,
    tell: oneshot::Sender<Result<Summary, EncodeError>>,
) {
    let options = Options {
        geometry: Geometry::WHOLE,
        threads: threads(),
        ..Options::new()
    };
    let watch = Watch {
        audit: Audit::none(),
        progress: &mut |bytes| bar.set_position(bytes),
    };
    let key = input.key().clone();
    let sealed = encode(input.read, vec![&mut writer], &key, &options, watch);
    let is_sealed = sealed.is_ok();
    tell.send(sealed).ok();
    if is_sealed {
        // If nobody reads any more, the request says why.
        writer.end().ok();
    }
}

fn sealing(error: EncodeError, path: PathBuf) -> SealFailure {
    match error {
        EncodeError::Input(source) => SealFailure::Read { path, source },
        error => SealFailure::Seal(error),
    }
}

/// A manager that has something else has not what was sealed here.
fn compare(summary: &Summary, kept: ObjectInfo) -> Result<ObjectInfo, SealFailure> {
    let sent = ObjectInfo {
        digest: summary.digest.to_string(),
        length: summary.plain_len,
    };
    match sent == kept {
        true => Ok(kept),
        false => Err(SealFailure::Another { sent, kept }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd as _;
    use std::time::Duration;

    use propeller_sdk::ClientOptions;
    use tokio::task::JoinSet;

    use super::super::stdin::Stdin;
    use super::*;

    #[tokio::test]
    async fn nobody_is_connected_to_while_an_input_does_not_come() {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let client = Client::new(ClientOptions {
            base_url: format!("http://{}", listener.local_addr().unwrap()),
            token: None,
            ca_cert: None,
            insecure_skip_verify: false,
            timeout: Duration::from_secs(5),
        });
        let client = client.unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        let writing = thread::spawn(move || {
            // So much is sealed as a few hundred bytes, which go with what follows.
            writer.write_all(&[0; (1 << 20) + 1]).unwrap();
            writer
        });
        let Stdin::Large(input) = Stdin::read(&path).unwrap() else {
            panic!("a mebibyte and a byte are large");
        };
        let writer = writing.join().unwrap();
        let mut sending = JoinSet::new();
        sending.spawn(async move {
            let bar = ProgressBar::hidden();
            upload(input, "7", &client, bar).await
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(listener.accept().is_err(), "a place is held for nothing");
        drop(writer);
        let mut tries = 0..500;
        while listener.accept().is_err() {
            assert!(tries.next().is_some(), "nothing is sent in five seconds");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
