//! A module in layers that are archives: found in a first pass over all of them, and sent in a second
//! one over the layer that has it. Of neither is more in memory than a few chunks.
//!
//! ```text
//!  library ── pieces ──▶ a thread that unpacks ── chunks ──▶ the broker
//!  (sealed, on disk)     (and holds all against its digests)
//! ```

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use propeller_oci::image::{Next, Packed, Survey};
use propeller_oci::layer::{Scratch, Spot};
use propeller_oci::{Reference, chain};
use propeller_wire::images::Reason;
use tokio::sync::mpsc;

use super::unpacker::Turn;
use super::{Sending, other};
use crate::fault::Fault;
use crate::library::Library;

/// Pieces between the disk and the thread that unpacks them, and chunks between that and the broker.
const BETWEEN: usize = 1;

impl Sending {
    /// Sends a module that is in the layers of an image.
    pub(super) async fn packed(&self, image: &Reference, survey: Survey) -> Result<(), Fault> {
        // Before it takes its turn: nobody else waits for this image's registry.
        for layer in survey.layers() {
            let mut coming = self.library.blob(image, layer.digest, layer.len)?;
            coming.ready(coming.count() - 1).await?;
        }
        let turn = self.unpacker.turn().await?;
        let (module, layer) = self.find(&turn, image, survey).await?;
        self.send_from(&turn, image, layer, module).await
    }

    async fn find(
        &self,
        turn: &Turn<'_>,
        image: &Reference,
        mut survey: Survey,
    ) -> Result<(Spot, Packed), Fault> {
        loop {
            let layer = survey.next();
            let (feed, pieces) = self.pieces();
            let looking = turn
                .work(move |scratch| survey.look_through(pieces, scratch))
                .await;
            self.feed(image, layer, feed).await?;
            let looked = looking.await.map_err(|_| stops())?;
            match looked.map_err(other)? {
                Next::Layer(more) => survey = more,
                Next::Found { module, layer } => return Ok((module, layer)),
            }
        }
    }

    async fn send_from(
        &self,
        turn: &Turn<'_>,
        image: &Reference,
        layer: Packed,
        module: Spot,
    ) -> Result<(), Fault> {
        let count = module.len.div_ceil(self.chunk_len as u64);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let (feed, pieces) = self.pieces();
        let (empty, empties) = mpsc::channel(BETWEEN);
        let (to, mut chunks) = mpsc::channel(BETWEEN);
        let reading = turn.work(move |scratch| cut(module, pieces, scratch, empties, &to));
        let reading = reading.await;
        // What fills the chunks ends when there are no more to fill.
        let sending = async move {
            let mut left = module.len;
            for index in 0..count {
                let place = Arc::clone(&self.memory).acquire_owned().await;
                let len = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(self.chunk_len);
                left -= len as u64;
                // Made here: what the thread has keeps its place for what it has next.
                let mut chunk = self.library.spare();
                chunk.resize(len, 0);
                let _ended = empty.send(chunk).await;
                let Some(chunk) = chunks.recv().await else {
                    return;
                };
                self.chunk(index, count, &chunk, place.ok()).await;
                self.library.sent(chunk);
            }
        };
        let (fed, ()) = tokio::join!(self.feed(image, layer, feed), sending);
        fed?;
        let read = reading.await.map_err(|_| stops())?;
        read.map_err(|error| Fault::new(Reason::Digest, chain(&error)))
    }

    /// Reads a layer from the disk for as long as somebody takes it.
    async fn feed(
        &self,
        image: &Reference,
        layer: Packed,
        to: mpsc::Sender<Vec<u8>>,
    ) -> Result<(), Fault> {
        let mut coming = self.library.blob(image, layer.digest, layer.len)?;
        for index in 0..coming.count() {
            coming.ready(index).await?;
            // Where it goes, before it takes memory.
            let Ok(place) = to.reserve().await else {
                return Ok(());
            };
            let piece = self.library.chunk(&coming, index).await;
            place.send(piece.inspect_err(|error| self.library.damaged(&coming, error))?);
        }
        Ok(())
    }

    fn pieces(&self) -> (mpsc::Sender<Vec<u8>>, Pieces) {
        let (feed, from) = mpsc::channel(BETWEEN);
        let pieces = Pieces {
            library: Arc::clone(&self.library),
            from,
            piece: Vec::new(),
            at: 0,
        };
        (feed, pieces)
    }
}

/// Fills chunks with a module, for as long as there are any; the last one only if all of it is what was
/// found.
fn cut(
    module: Spot,
    layer: Pieces,
    scratch: &mut Scratch,
    mut empties: mpsc::Receiver<Vec<u8>>,
    to: &mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut reading = module.read(layer, scratch)?;
    while let Some(mut chunk) = empties.blocking_recv() {
        reading.read_exact(&mut chunk)?;
        if to.blocking_send(chunk).is_err() {
            break;
        }
    }
    Ok(())
}

/// A layer, for a thread that may wait. It ends early if there is no more to be had: its digest tells.
struct Pieces {
    library: Arc<Library>,
    from: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.piece.len() {
            let Some(next) = self.from.blocking_recv() else {
                break;
            };
            self.library.sent(std::mem::replace(&mut self.piece, next));
            self.at = 0;
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, len: usize) {
        self.at = self.piece.len().min(self.at + len);
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

fn stops() -> Fault {
    Fault::new(Reason::Proxy, "the proxy stops")
}
