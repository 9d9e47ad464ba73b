//! Modules that are ready to run: made once for each key, kept for a while, and really dropped.
//!
//! ```text
//!  get(key) ──► cache ──► a job's own, or made on a thread that no job has ──► Found
//!                 ▲
//!  forget() ──────┘  sleeps until the next one's time is over
//! ```
//!
//! Making one is nobody's own: a job that is dropped, or has waited long enough, leaves it to
//! finish, or to be ended by whatever makes it. It is shared, and its result is kept. The threads
//! are for that alone: what a guest makes its host wait for, such as a file, keeps none of them.

use std::hash::Hash;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::cache::{Bounds, Cache, Cell, Claim};
use crate::config::EngineConfig;
use crate::cpu::micros;
use crate::exit::Usage;
use crate::runtime::RunError;
use crate::threads::Makers;

/// What is ready, and how it becomes so.
pub(crate) struct Shelf<K, V> {
    cache: Cache<K, Result<V, RunError>>,
    /// How many were made.
    made: AtomicU64,
    /// There is something to forget.
    filled: Notify,
    makers: Makers,
    module_bytes_max: u64,
    compile_max: Duration,
}

/// What a job gets.
pub(crate) struct Found<V> {
    /// It is filled, and with no refusal.
    cell: Cell<Result<V, RunError>>,
    /// How long the job waited for it; not at all if it was ready.
    waited: Option<Duration>,
}

impl<V> Found<V> {
    /// What is in a filled cell.
    fn new(cell: Cell<Result<V, RunError>>, waited: Option<Duration>) -> Result<Self, RunError> {
        match cell.get().expect("whoever has waited finds it filled") {
            Ok(_) => Ok(Self { cell, waited }),
            Err(refused) => Err(refused.clone()),
        }
    }

    pub(crate) fn value(&self) -> &V {
        match self.cell.get() {
            Some(Ok(value)) => value,
            _ => unreachable!("there is one only of a cell with a value"),
        }
    }

    /// Adds to what a guest used what came before it.
    pub(crate) fn account(&self, usage: &mut Usage) {
        usage.module_cached = self.waited.is_none();
        usage.compile_us = self.waited.map_or(0, micros);
    }
}

impl<K, V> Shelf<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Send + Sync + 'static,
{
    pub(crate) fn new(config: &EngineConfig) -> Arc<Self> {
        Arc::new(Self {
            cache: Cache::new(Bounds {
                entries_max: config.cache_entries_max,
                bytes_max: config.cache_bytes_max,
                ttl: config.cache_ttl,
            }),
            made: AtomicU64::new(0),
            filled: Notify::new(),
            // Each of them keeps all cores busy by itself, or waits for a process that does.
            makers: Makers::new(config.threads),
            module_bytes_max: config.module_bytes_max,
            compile_max: config.compile_max,
        })
    }

    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// What `maker` makes of `wasm`, with its size, or has made before. Jobs of the same key share
    /// it, so that many of them take no more memory than one.
    pub(crate) async fn get<M>(
        self: &Arc<Self>,
        key: &K,
        wasm: &Bytes,
        maker: impl FnOnce() -> M,
    ) -> Result<Found<V>, RunError>
    where
        M: FnOnce(&[u8]) -> Result<(V, u64), RunError> + Send + 'static,
    {
        let arrived = Instant::now();
        let len = wasm.len() as u64;
        if len > self.module_bytes_max {
            let len_max = self.module_bytes_max;
            return Err(RunError::TooLarge { len, len_max });
        }
        let Claim { cell, first } = self.cache.claim(key, arrived);
        // Before a clock is set: for most jobs it is ready.
        if cell.get().is_some() {
            return Found::new(cell, None);
        }
        if first {
            self.fill(key.clone(), Arc::clone(&cell), wasm.clone(), maker());
        }
        // Boxed, so that a job that waits for nothing has no room for it in its future.
        Box::pin(self.wait(&cell)).await?;
        Found::new(cell, Some(arrived.elapsed()))
    }

    /// Waits for a cell that is being filled, and before that for its turn: what others have to be
    /// made takes none of its time. It goes on, for whoever asks next.
    async fn wait(&self, cell: &Cell<Result<V, RunError>>) -> Result<(), RunError> {
        let begun = tokio::time::timeout(self.compile_max, cell.begun()).await;
        begun.map_err(|_| RunError::CompilersBusy)?;
        let made = tokio::time::timeout(self.compile_max, cell.made()).await;
        made.map_err(|_| RunError::CompileTime {
            limit_ms: u64::try_from(self.compile_max.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Fills `cell`, on a thread that no job owns: a job that is dropped while it waits does not
    /// take the work away from the others. Whoever waits, waits on the cell; only a shutdown leaves
    /// it empty, and that ends them too.
    fn fill(
        self: &Arc<Self>,
        key: K,
        cell: Cell<Result<V, RunError>>,
        wasm: Bytes,
        make: impl FnOnce(&[u8]) -> Result<(V, u64), RunError> + Send + 'static,
    ) {
        let shelf = Arc::clone(self);
        self.makers.make(move || {
            // It may have waited for a thread, and the jobs no longer.
            if shelf.cache.abandon(&key, &cell) {
                return;
            }
            cell.begin();
            shelf.made.fetch_add(1, Ordering::Relaxed);
            // A compiler that panics has met a module that it cannot take, and the jobs that wait
            // have to learn of it; the panic itself is in the process's log.
            let made = panic::catch_unwind(AssertUnwindSafe(|| make(&wasm)))
                .unwrap_or_else(|_| Err(RunError::Runtime(Arc::new(CompilerPanicked))));
            // A refusal is not kept: whoever sends bad bytes again pays for them again.
            let bytes = made.as_ref().ok().map(|(_, bytes)| *bytes);
            let made = made.map(|(value, _)| value);
            if shelf.cache.settle(&key, &cell, made, bytes, Instant::now()) {
                shelf.filled.notify_one();
            }
        });
    }

    /// Drops what is over, for as long as it is polled; while there is nothing, it sleeps.
    pub(crate) async fn forget(self: Arc<Self>) {
        loop {
            match self.cache.expire(Instant::now()) {
                // Whatever is filled meanwhile is over later.
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => self.filled.notified().await,
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the compiler panicked")]
struct CompilerPanicked;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Allocator;

    static WASM: Bytes = Bytes::new();

    fn shelf(cache_ttl: Duration) -> Arc<Shelf<u8, Arc<()>>> {
        patient(cache_ttl, Duration::from_secs(60))
    }

    fn patient(cache_ttl: Duration, compile_max: Duration) -> Arc<Shelf<u8, Arc<()>>> {
        Shelf::new(&EngineConfig {
            stack_bytes_max: 1,
            module_bytes_max: 10,
            compile_max,
            compile_memory_bytes_max: 4 << 30,
            cache_bytes_max: 10,
            cache_entries_max: 10,
            cache_ttl,
            threads: 1,
            allocator: Allocator::OnDemand,
        })
    }

    #[tokio::test]
    async fn what_is_over_is_dropped_although_nobody_asks_for_anything() {
        let shelf = shelf(Duration::from_millis(1));
        let forgetting = Arc::clone(&shelf).forget();
        let story = async {
            for key in [1, 1, 2] {
                let made = shelf.get(&key, &WASM, || |_: &[u8]| Ok((Arc::new(()), 1)));
                let found = made.await.expect("it is made");
                let kept = Arc::downgrade(found.value());
                drop(found);
                while kept.strong_count() > 0 {
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::select! {
            () = forgetting => panic!("it forgets for ever"),
            () = story => assert_eq!(shelf.made(), 3),
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_begun() {
        let shelf = shelf(Duration::from_secs(60));
        let (go, going) = std::sync::mpsc::channel();
        let mut first = Box::pin(shelf.get(&1, &WASM, || {
            move |_: &[u8]| {
                going.recv().ok();
                Ok((Arc::new(()), 1))
            }
        }));
        tokio::select! {
            _ = &mut first => panic!("it is not made yet"),
            () = begun(&shelf) => {}
        }
        let second = shelf.get(&2, &WASM, || |_: &[u8]| panic!("nobody waits for it"));
        tokio::select! {
            biased;
            _ = second => panic!("there is no thread for it"),
            () = std::future::ready(()) => {}
        }
        go.send(()).expect("somebody listens");
        assert!(first.await.is_ok());
        let third = shelf.get(&3, &WASM, || |_: &[u8]| Ok((Arc::new(()), 1)));
        assert!(third.await.is_ok());
        assert_eq!(shelf.made(), 2);
    }

    #[tokio::test]
    async fn what_has_not_had_its_turn_in_time_is_not_what_takes_long() {
        let shelf = patient(Duration::from_secs(60), Duration::from_millis(20));
        let (go, going) = std::sync::mpsc::channel();
        let slow = shelf.get(&1, &WASM, || {
            move |_: &[u8]| {
                going.recv().ok();
                Ok((Arc::new(()), 1))
            }
        });
        let late = slow.await.err();
        assert!(matches!(late, Some(RunError::CompileTime { .. })));
        let next = shelf.get(&2, &WASM, || |_: &[u8]| Ok((Arc::new(()), 1)));
        let late = next.await.err();
        assert!(matches!(late, Some(RunError::CompilersBusy)), "{late:?}");
        go.send(()).expect("somebody listens");
    }

    /// Waits until something is being made.
    async fn begun(shelf: &Shelf<u8, Arc<()>>) {
        while shelf.made() == 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_shelf_that_goes_while_something_is_made_waits_for_nobody() {
        let shelf = shelf(Duration::from_secs(60));
        let (go, going) = std::sync::mpsc::channel();
        let (gone, going_on) = std::sync::mpsc::channel();
        let mut made = Box::pin(shelf.get(&1, &WASM, || {
            move |_: &[u8]| {
                going.recv().ok();
                gone.send(()).ok();
                Ok((Arc::new(()), 1))
            }
        }));
        tokio::select! {
            _ = &mut made => panic!("it is not made yet"),
            () = begun(&shelf) => {}
        }
        drop(made);
        let left = Arc::downgrade(&shelf);
        drop(shelf);
        go.send(()).expect("somebody listens");
        going_on.recv().expect("it goes on to its end");
        // The thread that made it is the last one to have the shelf, and with it itself.
        while left.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_compiler_that_panics_ends_whoever_waits_for_it() {
        let shelf = shelf(Duration::from_secs(60));
        let made = shelf.get(&1, &WASM, || |_: &[u8]| panic!("no such module"));
        let Err(refused) = made.await else {
            panic!("nothing was made");
        };
        assert!(matches!(refused, RunError::Runtime(_)), "{refused:?}");
    }
}
