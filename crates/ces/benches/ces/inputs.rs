//! What is encoded: text as logs have it, and bytes that nothing compresses, both from a seed.

use std::io::{self, Read};

/// What is in memory of an input; longer ones repeat it, further away than zstd looks back.
pub(crate) const PERIOD: usize = 64 << 20;

/// Kinds of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Lines of JSON with words that are as frequent as in a language.
    Text,
    /// Bytes by chance.
    Random,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Text, Self::Random];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Random => "incompressible",
        }
    }

    /// As much of it as repeats.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.without_repeating(PERIOD)
    }

    /// `len` bytes in which nothing comes twice, for whoever would look for it.
    pub(crate) fn without_repeating(self, len: usize) -> Vec<u8> {
        match self {
            Self::Text => text(len),
            Self::Random => {
                let mut bytes = vec![0; len];
                fastrand::Rng::with_seed(7).fill(&mut bytes);
                bytes
            }
        }
    }
}

fn text(len: usize) -> Vec<u8> {
    const WORDS: usize = 20_000;
    let mut rng = fastrand::Rng::with_seed(11);
    let words: Vec<String> = (0..WORDS)
        .map(|_| (0..rng.usize(2..11)).map(|_| rng.lowercase()).collect())
        .collect();
    let mut out = Vec::with_capacity(len + 1024);
    let mut time = 1_700_000_000_000_u64;
    while out.len() < len {
        time += rng.u64(1..2000);
        let mut line = format!(
            "{{\"time\":{time},\"level\":\"info\",\"task\":\"{:016x}\",\"text\":\"",
            rng.u64(..)
        );
        for _ in 0..rng.usize(4..20) {
            // The n-th word is as frequent as 1/n.
            let place = (WORDS as f64).powf(rng.f64()) as usize - 1;
            line.push_str(&words[place.min(WORDS - 1)]);
            line.push(' ');
        }
        line.push_str("\"}\n");
        out.extend_from_slice(line.as_bytes());
    }
    out.truncate(len);
    out
}

/// `len` bytes that repeat `period`.
pub(crate) struct Repeated<'a> {
    pub(crate) period: &'a [u8],
    pub(crate) at: usize,
    pub(crate) left: u64,
}

impl<'a> Repeated<'a> {
    pub(crate) fn new(period: &'a [u8], len: u64) -> Self {
        Self {
            period,
            at: 0,
            left: len,
        }
    }
}

impl Read for Repeated<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = &self.period[self.at..];
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let len = rest.len().min(buf.len()).min(left);
        buf[..len].copy_from_slice(&rest[..len]);
        self.at = (self.at + len) % self.period.len();
        self.left -= len as u64;
        Ok(len)
    }
}
