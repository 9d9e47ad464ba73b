//! What a runtime prints, on its way to the transcript of its job.
//!
//! It goes there as it is read, but for what may be the runtime's own words: these wait for the end,
//! which tells whose they were.

use std::collections::VecDeque;

use propeller_model::Stream;

use super::talk::{TALK_BYTES_MAX, Talk};
use crate::transcript::{Keeps, Transcript};

/// How much of the beginning is kept, for messages about a runtime that failed.
const HEAD_BYTES_MAX: usize = 4 * 1024;

/// One stream of one run. Places are counted from its beginning.
#[derive(Debug)]
pub(super) struct Printed {
    to: Transcript,
    stream: Stream,
    bytes_max: usize,
    /// How much may wait beyond that.
    talk_bytes_max: usize,
    talk: Talk,
    /// The beginning, whoever's it is.
    pub(super) head: Vec<u8>,
    /// What has not gone on yet, and before it some that has.
    bytes: Vec<u8>,
    /// The place of the first of `bytes`.
    base: usize,
    /// The place of the first that has not gone on.
    at: usize,
    /// How many bytes of the guest went on.
    told: u64,
    /// There was more than there may be.
    pub(super) over: bool,
    /// Whether what stands before everything else is over.
    begun: bool,
    /// Where the last of each mark stands.
    marks: Vec<Option<usize>>,
    /// Where the last writes begin, if the pipe tells them apart, and the last lines.
    writes: Option<VecDeque<usize>>,
    lines: VecDeque<usize>,
    line_ended: bool,
}

impl Printed {
    /// A stream of a guest that may print `bytes_max`, in which a runtime may say `talk` and print
    /// results of `result_bytes_max`.
    pub(super) fn new(
        (to, stream): (&Transcript, Stream),
        talk: Talk,
        (bytes_max, result_bytes_max): (usize, usize),
    ) -> Self {
        Self {
            to: to.clone(),
            stream,
            bytes_max,
            talk_bytes_max: result_bytes_max.saturating_add(TALK_BYTES_MAX),
            head: Vec::new(),
            bytes: Vec::new(),
            base: 0,
            at: 0,
            told: 0,
            over: false,
            begun: talk.before.is_empty(),
            marks: vec![None; talk.marks.len()],
            talk,
            writes: None,
            lines: VecDeque::new(),
            line_ended: true,
        }
    }

    /// From here on, every piece is one write.
    pub(super) fn tell_writes_apart(&mut self) {
        self.writes = Some(VecDeque::new());
    }

    /// Takes a piece; whether there may be more.
    pub(super) fn take(&mut self, piece: &[u8]) -> bool {
        let room = HEAD_BYTES_MAX - self.head.len();
        self.head.extend_from_slice(&piece[..piece.len().min(room)]);
        self.note_results(piece);
        self.bytes.extend_from_slice(piece);
        self.skip_before();
        self.note_marks(piece.len());
        self.hand_on(self.waits_from());
        let most = self.bytes_max.saturating_add(self.talk_bytes_max);
        let waiting = self.rest().len();
        match self.to.keeps() {
            Keeps::All => {
                let told = usize::try_from(self.told).unwrap_or(usize::MAX);
                self.over |= told.saturating_add(waiting) > most;
            }
            // No runtime says that much: it is the guest's.
            Keeps::Tail => self.hand_on(self.at + waiting.saturating_sub(most)),
        }
        !self.over
    }

    /// What waits for the end.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.at - self.base..]
    }

    /// Takes what stands from `from` on out of what waits: it is not the guest's.
    pub(super) fn split_off(&mut self, from: usize) -> Vec<u8> {
        self.bytes.split_off(self.at - self.base + from)
    }

    /// Where in what waits the last `count` writes begin, if that many can be told apart and end a
    /// line.
    pub(super) fn last_writes(&self, count: usize) -> Option<usize> {
        let writes = self.writes.as_ref()?;
        if !self.bytes.ends_with(b"\n") {
            return None;
        }
        writes
            .get(writes.len().checked_sub(count)?)?
            .checked_sub(self.at)
    }

    /// The end: what still waits is the guest's. Whether all of it was as much as there may be.
    pub(super) fn finish(&mut self) -> bool {
        self.hand_on(self.base + self.bytes.len());
        !self.over
    }

    /// How many bytes the guest has printed, as far as they were taken.
    pub(super) fn told(&self) -> u64 {
        self.told
    }

    /// All that is kept, for whoever gets the end of the guest.
    pub(super) fn kept(&self) -> Vec<u8> {
        self.to.take(self.stream)
    }

    /// Remembers where the last writes and lines begin, as many as there are results.
    fn note_results(&mut self, piece: &[u8]) {
        let count = self.talk.results;
        if count == 0 {
            return;
        }
        let at = self.base + self.bytes.len();
        if let Some(writes) = &mut self.writes {
            push(writes, at, count);
        }
        for (index, byte) in piece.iter().enumerate() {
            if self.line_ended {
                push(&mut self.lines, at + index, count);
            }
            self.line_ended = *byte == b'\n';
        }
    }

    /// Drops what the runtime says before everything else.
    fn skip_before(&mut self) {
        let before = self.talk.before.as_bytes();
        if !self.begun && self.bytes.starts_with(before) {
            self.at = before.len();
            self.begun = true;
        } else if !self.begun && !before.starts_with(&self.bytes) {
            self.begun = true;
        }
    }

    /// Remembers the last of each mark, of which a part may have come before the last `len` bytes.
    fn note_marks(&mut self, len: usize) {
        for (mark, found) in self.talk.marks.iter().zip(&mut self.marks) {
            let new = self.bytes.len() - len;
            let from = new.saturating_sub(mark.len().saturating_sub(1));
            let last = find_last(&self.bytes[from..], mark.as_bytes());
            if let Some(last) = last {
                *found = Some(self.base + from + last);
            }
        }
    }

    /// The place from which on what is there may be the runtime's own. It never goes back.
    fn waits_from(&self) -> usize {
        if !self.begun {
            return self.at;
        }
        let end = self.base + self.bytes.len();
        let marked = self
            .talk
            .marks
            .iter()
            .zip(&self.marks)
            .map(|(mark, found)| {
                let found = found.filter(|found| *found >= self.at);
                found.unwrap_or_else(|| end - begun_at_end(self.rest(), mark.as_bytes()))
            });
        let writes = self.writes.as_ref().and_then(VecDeque::front);
        let results = [writes, self.lines.front()];
        let results = results.into_iter().flatten().copied();
        let from = marked.chain(results).min().unwrap_or(end);
        from.clamp(self.at, end)
    }

    /// Lets what stands before the place `to` go on.
    fn hand_on(&mut self, to: usize) {
        let piece = &self.bytes[self.at - self.base..to - self.base];
        let fits = self.to.append(self.stream, piece, self.bytes_max);
        self.told += fits as u64;
        self.over |= fits < piece.len();
        self.at = to;
        // Only now and then, so that a long wait does not move everything with every piece.
        if self.at - self.base > self.bytes.len() / 2 {
            self.bytes.drain(..self.at - self.base);
            self.base = self.at;
        }
    }
}

/// Remembers `place` as the last of at most `count`.
fn push(places: &mut VecDeque<usize>, place: usize, count: usize) {
    if places.len() == count {
        places.pop_front();
    }
    places.push_back(place);
}

/// Where `what` stands last.
pub(super) fn find_last(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).rposition(|window| window == what)
}

/// How much of `mark` stands at the end of `bytes`, if not all of it.
fn begun_at_end(bytes: &[u8], mark: &[u8]) -> usize {
    let longest = mark.len().saturating_sub(1).min(bytes.len());
    let lens = (1..=longest).rev();
    let mut begun = lens.filter(|len| bytes.ends_with(&mark[..*len]));
    begun.next().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(before: &'static str, marks: &[&str], results: usize) -> Talk {
        Talk {
            before,
            marks: marks.iter().map(|&mark| mark.to_owned()).collect(),
            results,
        }
    }

    /// Prints `pieces`, each a write, and compares what has gone on with each, separated by bars,
    /// and what waits for the end.
    fn check(talk: Talk, pieces: &[&str], expected: &str) {
        let transcript = Transcript::whole();
        let mut printed = Printed::new((&transcript, Stream::Stdout), talk, (100, 0));
        printed.tell_writes_apart();
        let mut told = String::new();
        let mut from = 0;
        for piece in pieces {
            assert!(printed.take(piece.as_bytes()), "{told}");
            let new = transcript
                .read(Stream::Stdout, from, 1000)
                .expect("it is not over");
            from = new.printed;
            told.push_str(std::str::from_utf8(&new.bytes).expect("text"));
            told.push('|');
        }
        told.push_str(std::str::from_utf8(printed.rest()).expect("text"));
        assert_eq!(told, expected);
    }

    #[test]
    fn what_can_only_be_the_guests_goes_on_at_once() {
        check(Talk::default(), &["a", "b\nc"], "a|b\nc|");
    }

    #[test]
    fn results_wait_as_the_last_writes_and_the_last_lines() {
        check(talk("", &[], 1), &["a\n", "b\n", "42\n"], "|a\n|b\n|42\n");
        check(talk("", &[], 1), &["a", "42\n"], "||a42\n");
        check(
            talk("", &[], 2),
            &["a\n", "1\n2\n", "3\n"],
            "||a\n|1\n2\n3\n",
        );
        check(talk("", &[], 1), &["a\nb\nc"], "|a\nb\nc");
    }

    #[test]
    fn what_begins_as_a_complaint_waits_until_it_is_none() {
        let mark = || talk("", &["Error: x"], 0);
        check(mark(), &["a", "Er", "ic"], "a||Eric|");
        check(mark(), &["aError", ": x", "y"], "a|||Error: xy");
        check(mark(), &["Error: x", "Error: x"], "|Error: x|Error: x");
        check(mark(), &["EError: ", "x"], "E||Error: x");
        let both = talk("", &["Error: x", "warning"], 0);
        check(both, &["Error: x", "a warning b"], "||Error: xa warning b");
    }

    #[test]
    fn what_a_runtime_says_first_is_dropped_and_else_nothing() {
        let warns = || talk("warning\n", &[], 0);
        check(warns(), &["warn", "ing\na"], "|a|");
        check(warns(), &["warn", "ed"], "|warned|");
        check(warns(), &["warn"], "|warn");
    }

    #[test]
    fn there_may_be_so_much_of_the_guest_and_a_tail_takes_the_rest() {
        let one = |transcript: &Transcript, marks: &[&str]| {
            let talk = talk("", marks, 0);
            Printed::new((transcript, Stream::Stdout), talk, (10, 0))
        };
        let whole = Transcript::whole();
        let mut printed = one(&whole, &[]);
        assert!(printed.take(b"0123456789"));
        assert!(!printed.take(b"a") && printed.over && printed.told() == 10);
        let tail = Transcript::tail();
        let mut printed = one(&tail, &["Error"]);
        for _ in 0..100 {
            assert!(printed.take(&[b'x'; 1000]) && printed.take(b"Error"));
        }
        // A complaint without an end is the guest's.
        for _ in 0..100 {
            assert!(printed.take(&[b'x'; 1000]));
        }
        assert!(printed.rest().len() <= 10 + TALK_BYTES_MAX);
        assert!(printed.finish());
        assert_eq!((printed.told(), printed.kept()), (200_500, vec![b'x'; 10]));
    }
}
