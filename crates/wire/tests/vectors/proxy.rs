//! The messages between proplet and proxy that the message vectors encode, as values.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use propeller_model::Digest;
use propeller_wire::images::{
    AskChunks, AskDocument, Chunk, Document, Failed, FromProxy, Progress, Reason, ToProxy, Welcome,
};
use serde_bytes::ByteBuf;

fn hash(label: &str) -> Digest {
    Digest(
        digest(&SHA256, label.as_bytes())
            .as_ref()
            .try_into()
            .unwrap(),
    )
}

fn reference() -> String {
    let image = HEXLOWER.encode(&hash("image").0);
    format!("http://127.0.0.1:5000/me/add@sha256:{image}")
}

fn chunks(again: bool) -> ToProxy {
    ToProxy::Chunks(AskChunks {
        ask: u64::MAX,
        reference: reference(),
        digest: hash("blob"),
        len: 1 << 40,
        indexes: vec![0, 300],
        again,
    })
}

pub(crate) fn to_proxy() -> Vec<(&'static str, ToProxy)> {
    let document = AskDocument {
        ask: u64::MAX,
        reference: reference(),
    };
    let named = |message| {
        let name = match &message {
            ToProxy::Hello => "hello",
            ToProxy::Document(_) => "document",
            ToProxy::Chunks(ask) if ask.again => "chunks-again",
            ToProxy::Chunks(_) => "chunks",
            ToProxy::Forget(_) => "forget",
        };
        (name, message)
    };
    [
        ToProxy::Hello,
        ToProxy::Document(document),
        chunks(false),
        chunks(true),
        ToProxy::Forget(300),
    ]
    .map(named)
    .into()
}

pub(crate) fn from_proxy() -> Vec<(&'static str, FromProxy)> {
    let document = |media_type: Option<&str>| Document {
        ask: 300,
        media_type: media_type.map(ToOwned::to_owned),
        bytes: ByteBuf::from(b"{}"),
    };
    let chunk = Chunk {
        ask: 300,
        index: u32::MAX,
        bytes: ByteBuf::from(b"chunk"),
    };
    let progress = Progress {
        ask: 300,
        bytes: 1 << 40,
    };
    let mut messages = vec![
        FromProxy::Welcome(Welcome { chunk_len: 512_000 }),
        FromProxy::Document(document(Some("application/json"))),
        FromProxy::Document(document(None)),
        FromProxy::Chunk(chunk),
        FromProxy::Progress(progress),
    ];
    messages.extend(
        [
            Reason::Name,
            Reason::Credentials,
            Reason::Network,
            Reason::Digest,
            Reason::MediaType,
            Reason::Size,
            Reason::Busy,
            Reason::Refused,
            Reason::Proxy,
        ]
        .map(|reason| {
            FromProxy::Failed(Failed {
                ask: 1,
                reason,
                text: "in words".to_owned(),
            })
        }),
    );
    messages.into_iter().map(named).collect()
}

/// A new variant does not compile until it has a name here, and fails until it has a vector.
fn named(message: FromProxy) -> (&'static str, FromProxy) {
    let name = match &message {
        FromProxy::Welcome(_) => "welcome",
        FromProxy::Document(document) if document.media_type.is_some() => "document",
        FromProxy::Document(_) => "document-unnamed",
        FromProxy::Chunk(_) => "chunk",
        FromProxy::Progress(_) => "progress",
        FromProxy::Failed(failed) => match failed.reason {
            Reason::Name => "failed-name",
            Reason::Credentials => "failed-credentials",
            Reason::Network => "failed-network",
            Reason::Digest => "failed-digest",
            Reason::MediaType => "failed-media-type",
            Reason::Size => "failed-size",
            Reason::Busy => "failed-busy",
            Reason::Refused => "failed-refused",
            Reason::Proxy => "failed-proxy",
        },
    };
    (name, message)
}
