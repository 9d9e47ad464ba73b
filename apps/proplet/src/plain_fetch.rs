//! Modules on their way from upstream's proxy, in upstream's JSON: nothing in it says whose bytes they
//! are, so all that can be done is to bound them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::BASE64;
use propeller_wire::upstream::{Chunk, Start};

/// How long to wait before asking again: a proxy that is busy drops what it is asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for any chunk, as upstream.
const PATIENCE_MAX: Duration = Duration::from_secs(60);
/// Chunks of one module.
const CHUNKS_MAX: u32 = 65_536;

/// All of them, by the name that they were asked for by.
#[derive(Debug)]
pub(crate) struct PlainFetches {
    by_name: HashMap<String, Fetching>,
    module_bytes_max: u64,
}

#[derive(Debug)]
struct Fetching {
    starts: Vec<Start>,
    chunks: Vec<Option<Vec<u8>>>,
    missing: usize,
    bytes: u64,
    asked: Instant,
    heard: Instant,
}

/// What comes of it.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Ask for this.
    Ask(String),
    /// It is here, for these.
    Here(Bytes, Vec<Start>),
    /// It will not come, for these, and why.
    Never(String, Vec<Start>),
}

impl PlainFetches {
    pub(crate) fn new(module_bytes_max: u64) -> Self {
        Self {
            by_name: HashMap::new(),
            module_bytes_max,
        }
    }

    /// How many starts wait.
    pub(crate) fn waiting(&self) -> usize {
        self.by_name.values().map(|one| one.starts.len()).sum()
    }

    /// Whether a start waits.
    pub(crate) fn waits(&self, id: &str) -> bool {
        let mut starts = self.by_name.values().flat_map(|one| &one.starts);
        starts.any(|start| start.id == id)
    }

    /// Begins to fetch, or joins a fetch under way.
    pub(crate) fn begin(&mut self, name: String, start: Start, now: Instant) -> Option<Outcome> {
        if let Some(fetching) = self.by_name.get_mut(&name) {
            fetching.starts.push(start);
            return None;
        }
        let fetching = Fetching {
            starts: vec![start],
            chunks: Vec::new(),
            missing: 0,
            bytes: 0,
            asked: now,
            heard: now,
        };
        self.by_name.insert(name.clone(), fetching);
        Some(Outcome::Ask(name))
    }

    /// Takes a chunk.
    pub(crate) fn take(&mut self, chunk: &Chunk, now: Instant) -> Option<Outcome> {
        let name = &chunk.app_name;
        let fetching = self.by_name.get_mut(name)?;
        let count = chunk.total_chunks as usize;
        let bytes = BASE64.decode(chunk.data.as_bytes()).ok()?;
        if fetching.chunks.is_empty() && (1..=CHUNKS_MAX).contains(&chunk.total_chunks) {
            fetching.chunks = vec![None; count];
            fetching.missing = count;
        }
        if fetching.chunks.len() != count {
            return None;
        }
        let place = fetching.chunks.get_mut(chunk.chunk_idx as usize)?;
        fetching.heard = now;
        if place.is_some() {
            return None;
        }
        fetching.bytes += bytes.len() as u64;
        *place = Some(bytes);
        fetching.missing -= 1;
        if fetching.bytes > self.module_bytes_max {
            let why = format!(
                "the module has more than {} bytes, which is PROPLET_MAX_MODULE",
                self.module_bytes_max
            );
            return self.end(&name.clone(), &why);
        }
        if fetching.missing > 0 {
            return None;
        }
        let done = self.by_name.remove(name)?;
        let whole: Vec<u8> = done.chunks.into_iter().flatten().flatten().collect();
        Some(Outcome::Here(Bytes::from(whole), done.starts))
    }

    /// Stops waiting for one start. Whether it waited.
    pub(crate) fn stop(&mut self, id: &str) -> bool {
        let waited = self.waits(id);
        self.by_name.retain(|_, fetching| {
            fetching.starts.retain(|start| start.id != id);
            !fetching.starts.is_empty()
        });
        waited
    }

    /// Asks again, and gives up.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut over = Vec::new();
        for (name, fetching) in &mut self.by_name {
            if now.saturating_duration_since(fetching.heard) > PATIENCE_MAX {
                over.push(name.clone());
            } else if now.saturating_duration_since(fetching.asked.max(fetching.heard)) > PATIENCE {
                fetching.asked = now;
                outcomes.push(Outcome::Ask(name.clone()));
            }
        }
        let why = format!("no proxy has sent its module within {PATIENCE_MAX:?}");
        outcomes.extend(over.iter().filter_map(|name| self.end(name, &why)));
        outcomes
    }

    fn end(&mut self, name: &str, why: &str) -> Option<Outcome> {
        let over = self.by_name.remove(name)?;
        Some(Outcome::Never(format!("image {name}: {why}"), over.starts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "docker.io/me/add:1";

    fn start(id: &str) -> Start {
        Start {
            id: id.to_owned(),
            ..Start::default()
        }
    }

    fn chunk(chunk_idx: u32, total_chunks: u32, bytes: &[u8]) -> Chunk {
        Chunk {
            app_name: NAME.to_owned(),
            chunk_idx,
            total_chunks,
            data: BASE64.encode(bytes),
        }
    }

    fn begun(now: Instant) -> PlainFetches {
        let mut fetches = PlainFetches::new(10);
        let ask = fetches.begin(NAME.to_owned(), start("1"), now);
        assert_eq!(ask, Some(Outcome::Ask(NAME.to_owned())));
        fetches
    }

    #[test]
    fn chunks_in_any_order_and_twice_make_a_module_for_everybody_who_waits() {
        let now = Instant::now();
        let mut fetches = begun(now);
        assert_eq!(fetches.begin(NAME.to_owned(), start("2"), now), None);
        for (index, bytes) in [(2, b"ghi"), (0, b"abc"), (2, b"ghi")] {
            assert_eq!(fetches.take(&chunk(index, 3, bytes), now), None);
        }
        let here = Outcome::Here(Bytes::from("abcdefghi"), vec![start("1"), start("2")]);
        assert_eq!(fetches.take(&chunk(1, 3, b"def"), now), Some(here));
        assert_eq!(fetches.waiting(), 0);
    }

    #[test]
    fn what_fits_nowhere_changes_nothing() {
        let now = Instant::now();
        let mut fetches = begun(now);
        let mut other = chunk(0, 1, b"abc");
        other.app_name = "docker.io/me/add:2".to_owned();
        let mut no_base64 = chunk(0, 1, b"abc");
        no_base64.data = "a".to_owned();
        for wrong in [
            chunk(0, 0, b"abc"),
            chunk(0, CHUNKS_MAX + 1, b"abc"),
            other,
            no_base64,
        ] {
            assert_eq!(fetches.take(&wrong, now), None);
        }
        assert_eq!(fetches.take(&chunk(0, 2, b"abc"), now), None);
        assert_eq!(
            fetches.take(&chunk(1, 3, b"abc"), now),
            None,
            "another count"
        );
        assert_eq!(fetches.take(&chunk(2, 2, b"abc"), now), None);
        assert!(fetches.take(&chunk(1, 2, b"def"), now).is_some());
    }

    #[test]
    fn more_than_a_module_may_have_is_refused_and_silence_is_the_end() {
        let now = Instant::now();
        let mut fetches = begun(now);
        let never = fetches.take(&chunk(0, 2, b"eleven byte"), now);
        let Some(Outcome::Never(why, starts)) = never else {
            panic!("{never:?}")
        };
        assert!(why.contains("more than 10 bytes"), "{why}");
        assert_eq!(starts, vec![start("1")]);

        let mut fetches = begun(now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(fetches.tick(later(4)), vec![]);
        assert_eq!(fetches.tick(later(6)), vec![Outcome::Ask(NAME.to_owned())]);
        assert_eq!(fetches.tick(later(7)), vec![]);
        let over = fetches.tick(later(61));
        assert!(matches!(&*over, [Outcome::Never(why, _)] if why.contains("within 60s")));
        assert_eq!(fetches.tick(later(62)), vec![]);
    }

    #[test]
    fn a_start_that_is_stopped_waits_no_more() {
        let now = Instant::now();
        let mut fetches = begun(now);
        assert!(fetches.waits("1") && fetches.stop("1") && !fetches.stop("1"));
        assert_eq!(fetches.take(&chunk(0, 1, b"abc"), now), None);
    }
}
