//! A proxy as a source of images.

use propeller_oci::manifest::Descriptor;
use propeller_oci::registry::{Fetched, Kind, Progress, Stage};
use propeller_oci::{Coming, Pieces, Reference, RegistryError, Source, hold};
use tokio::sync::{mpsc, oneshot};

use super::{Order, Tallies};

/// Orders what one pull asks for from a courier.
#[derive(Debug)]
pub(crate) struct Via<'a> {
    pub(crate) orders: &'a mpsc::Sender<Order>,
    /// The largest blob that is ordered, in bytes.
    pub(crate) blob_bytes_max: u64,
    /// How far the pull has come.
    pub(crate) tallies: &'a Tallies,
}

impl Via<'_> {
    async fn order<T>(
        &self,
        order: impl FnOnce(super::transfer::Reply<T>) -> Order,
    ) -> Result<T, RegistryError> {
        let stops = || RegistryError::Proxied {
            kind: Kind::Here,
            text: "the proplet stops".to_owned(),
        };
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(order(reply)).await;
        sent.map_err(|_| stops())?;
        answer.await.unwrap_or_else(|_| Err(stops()))
    }
}

/// As it is written.
fn named(reference: &Reference) -> String {
    reference.to_string()
}

impl Source for Via<'_> {
    fn document<'a>(&'a self, reference: &'a Reference) -> Coming<'a, Fetched> {
        Box::pin(async move {
            let ordered = self.order(|reply| Order::Document {
                reference: named(reference),
                reply,
            });
            let (bytes, media_type) = ordered.await?;
            Fetched::read(reference, bytes, media_type)
        })
    }

    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        descriptor: &'a Descriptor,
        progress: Progress<'a>,
    ) -> Coming<'a, Pieces> {
        Box::pin(async move {
            let (digest, len) = (descriptor.digest, descriptor.size);
            let limit = self.blob_bytes_max;
            if len > limit {
                return Err(RegistryError::Size {
                    stage: Stage::Blob,
                    bytes: len,
                    at_least: false,
                    why: format!("and at most {limit} are fetched"),
                });
            }
            let ordered = self.order(|reply| Order::Blob {
                reference: named(reference),
                digest,
                len,
                tally: self.tallies.of(len),
                reply,
            });
            let whole = ordered.await?;
            let finished = tokio::task::spawn_blocking(move || whole.finish());
            let (bytes, got) = finished.await.map_err(|_| RegistryError::Stopped)?;
            progress(len);
            hold(descriptor, bytes.len(), got)?;
            Ok(bytes)
        })
    }
}
