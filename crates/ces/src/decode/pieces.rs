//! Pieces of one segment, from wherever they come.

use crate::error::PieceError;
use crate::segment::ObjectCoder;
use crate::wiped::Wiped;

/// Pieces of one segment.
pub(super) struct Pieces {
    len: usize,
    /// The data pieces, each in its place. They become the plaintext, compressed or not.
    pub(super) data: Wiped,
    /// Parity pieces, in the order in which they were taken.
    parity: Vec<u8>,
    /// The path of each that is there, in the order of `there`.
    paths: Vec<u8>,
    there: Vec<Piece>,
    /// Which indices are among those.
    is_there: [bool; 256],
    /// Where a bad piece stood in `parity`.
    free: Vec<usize>,
}

/// A piece that is there.
#[derive(Clone, Copy)]
struct Piece {
    /// The place of its shard.
    place: usize,
    index: u8,
    /// Where it begins, in `data` or in `parity`.
    at: usize,
    is_believed: bool,
}

impl Pieces {
    pub(super) fn with_room(data: usize) -> Self {
        Self {
            len: 0,
            data: Wiped::with_capacity(data),
            parity: Vec::new(),
            paths: Vec::new(),
            there: Vec::new(),
            is_there: [false; 256],
            free: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, len: usize, data: usize) {
        self.len = len;
        self.data.resize(len * data, 0);
        self.parity.clear();
        self.paths.clear();
        self.there.clear();
        self.is_there.fill(false);
        self.free.clear();
    }

    /// How many pieces are there.
    pub(super) fn count(&self) -> usize {
        self.there.len()
    }

    pub(super) fn has(&self, index: u8) -> bool {
        self.is_there[usize::from(index)]
    }

    /// Room for a piece and its path.
    pub(super) fn add(
        &mut self,
        place: usize,
        index: u8,
        path_len: usize,
        data: u8,
    ) -> (&mut [u8], &mut [u8]) {
        let paths_len = self.paths.len();
        self.paths.resize(paths_len + path_len, 0);
        let (pieces, at) = match index < data {
            true => (&mut **self.data, usize::from(index) * self.len),
            false => {
                let at = self.free.pop().unwrap_or(self.parity.len());
                self.parity.resize(self.parity.len().max(at + self.len), 0);
                (self.parity.as_mut_slice(), at)
            }
        };
        self.is_there[usize::from(index)] = true;
        self.there.push(Piece {
            place,
            index,
            at,
            is_believed: false,
        });
        (&mut self.paths[paths_len..], &mut pieces[at..at + self.len])
    }

    /// Forgets a piece.
    pub(super) fn remove(&mut self, place: usize, path_len: usize) {
        if let Some(at) = self.there.iter().position(|piece| piece.place == place) {
            let piece = self.there.remove(at);
            self.is_there[usize::from(piece.index)] = false;
            if usize::from(piece.index) * self.len >= self.data.len() {
                self.free.push(piece.at);
            }
            self.paths.drain(at * path_len..(at + 1) * path_len);
        }
    }

    /// Judges every piece that is not believed yet, and names those that are not believed then.
    pub(super) fn believe(
        &mut self,
        path_len: usize,
        judge: impl Fn(u8, &[u8], &[u8]) -> Result<(), PieceError>,
    ) -> Vec<(usize, PieceError)> {
        let data_len = self.data.len() / self.len;
        let mut bad = Vec::new();
        for (number, piece) in self.there.iter_mut().enumerate() {
            if piece.is_believed {
                continue;
            }
            let pieces = match usize::from(piece.index) < data_len {
                true => &**self.data,
                false => self.parity.as_slice(),
            };
            let path = &self.paths[number * path_len..(number + 1) * path_len];
            match judge(piece.index, path, &pieces[piece.at..piece.at + self.len]) {
                Ok(()) => piece.is_believed = true,
                Err(error) => bad.push((piece.place, error)),
            }
        }
        bad
    }

    /// Computes the data pieces that are not there of those that are.
    pub(super) fn rebuild(&mut self, coder: &ObjectCoder) {
        let data = coder.object().geometry.data();
        let missing: Vec<usize> = (0..data)
            .filter(|index| !self.has(*index))
            .map(usize::from)
            .collect();
        if missing.is_empty() {
            return;
        }
        let mut present: Vec<(usize, &[u8])> = self
            .there
            .iter()
            .filter(|piece| piece.index >= data)
            .map(|piece| {
                let bytes = &self.parity[piece.at..piece.at + self.len];
                (usize::from(piece.index), bytes)
            })
            .collect();
        let mut rebuilt = Vec::with_capacity(missing.len());
        for (index, piece) in self.data.chunks_exact_mut(self.len).enumerate() {
            match missing.contains(&index) {
                true => rebuilt.push(piece),
                false => present.push((index, piece)),
            }
        }
        coder
            .code()
            .rebuild(&present, &missing, &mut rebuilt)
            .expect("there are as many pieces as it takes, all of one length");
    }
}
