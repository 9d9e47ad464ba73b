//! Between the core, which reads and writes like files, and stores, which are asynchronous.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Threads that talk to stores: they wait more than they compute.
const STORE_THREADS: usize = 2;
/// The exit code of whoever is interrupted twice.
const INTERRUPTED: i32 = 130;

/// A runtime for stores, and an ear for Ctrl-C and for what a service manager sends (SIGTERM).
///
/// It is apart from the caller's runtime, which stands still while a command works on shards.
#[derive(Debug)]
pub(crate) struct Bridge {
    runtime: Runtime,
    interrupt: Interrupt,
}

impl Bridge {
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(STORE_THREADS)
            .enable_all()
            .build()?;
        let interrupt = Interrupt::default();
        let set = interrupt.clone();
        let (mut ctrl_c, mut terminated) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            )
        };
        // Ends with the runtime.
        drop(runtime.spawn(async move {
            loop {
                let heard = tokio::select! {
                    heard = ctrl_c.recv() => heard,
                    heard = terminated.recv() => heard,
                };
                match heard {
                    Some(()) => set.hear(),
                    None => return,
                }
            }
        }));
        Ok(Self { runtime, interrupt })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    pub(crate) fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// Ends without waiting for requests nobody is interested in any more.
    pub(crate) fn end(self) {
        self.runtime.shutdown_background();
    }
}

/// Whether somebody pressed Ctrl-C, or wants the process to end: what is under way then fails and cleans up behind itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Fails once that happened.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.is_set() {
            // Not `ErrorKind::Interrupted`, after which everybody tries again.
            true => Err(io::Error::other("interrupted")),
            false => Ok(()),
        }
    }

    #[allow(
        clippy::exit,
        reason = "a second signal ends what waits for an input and does not hear the first"
    )]
    fn hear(&self) {
        if self.0.fetch_add(1, Ordering::Relaxed) > 0 {
            std::process::exit(INTERRUPTED);
        }
    }
}

/// A reader or writer that ends with an error when somebody pressed Ctrl-C.
#[derive(Debug)]
pub(crate) struct Interruptible<R> {
    pub(crate) inner: R,
    pub(crate) interrupt: Interrupt,
}

impl<R: io::Read> io::Read for Interruptible<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.interrupt.check()?;
        self.inner.read(buf)
    }
}

impl<W: io::Write> io::Write for Interruptible<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.interrupt.check()?;
        self.inner.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
