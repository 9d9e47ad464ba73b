//! The messages that the message vectors encode, as values.

use std::fmt::Debug;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use propeller_model::{AttemptId, Digest, ExitKind, Stream, TaskId, Trace};
use propeller_wire::images::{FromProxy, ToProxy};
use propeller_wire::message::{
    About, Beat, Fetch, FromProplet, Heartbeat, Hello, Input, MessageError, Module, Output, Piece,
    Printed, Refusal, Refused, Report, Start, StartImage, StoreMark, ToProplet, Usage, Vitals,
    Watch, Welcome, decode, encode,
};
use serde_bytes::ByteBuf;
use uuid::Uuid;

use crate::attested;
use crate::file::File;
use crate::parts::{inputs, outputs};
use crate::proxy::{from_proxy, to_proxy};

/// The names of all vectors of messages that decode, without `message-`.
pub(crate) fn names() -> Vec<String> {
    let to = to_proplet().into_iter().map(|m| to_proplet_name(&m));
    let from = from_proplet().into_iter().map(|m| from_proplet_name(&m));
    let parts = inputs()
        .map(|(name, _)| format!("input-{name}"))
        .into_iter();
    let parts = parts.chain(outputs().map(|(name, _)| format!("output-{name}")));
    let proxy = to_proxy()
        .into_iter()
        .map(|(name, _)| format!("to-proxy-{name}"));
    let proxy = proxy.chain(
        from_proxy()
            .into_iter()
            .map(|(name, _)| format!("from-proxy-{name}")),
    );
    to.chain(from).chain(parts).chain(proxy).collect()
}

pub(crate) fn check(file: &File) {
    let expected = file.name.strip_prefix("message-").unwrap();
    match file.field("type") {
        "ToProplet" => check_as(file, named(to_proplet(), to_proplet_name), expected),
        "FromProplet" => check_as(file, named(from_proplet(), from_proplet_name), expected),
        "Input" => check_as(
            file,
            inputs().map(|(n, v)| (format!("input-{n}"), v)),
            expected,
        ),
        "Output" => check_as(
            file,
            outputs().map(|(n, v)| (format!("output-{n}"), v)),
            expected,
        ),
        "ToProxy" => check_as(file, prefixed("to-proxy", to_proxy()), expected),
        "FromProxy" => check_as(file, prefixed("from-proxy", from_proxy()), expected),
        other => panic!("no message type {other}"),
    }
}

fn prefixed<T>(prefix: &str, values: Vec<(&str, T)>) -> Vec<(String, T)> {
    let values = values.into_iter();
    values
        .map(|(name, value)| (format!("{prefix}-{name}"), value))
        .collect()
}

fn named<T>(values: Vec<T>, name: fn(&T) -> String) -> Vec<(String, T)> {
    values
        .into_iter()
        .map(|value| (name(&value), value))
        .collect()
}

/// A message, or what has an envelope of its own.
trait Part: Sized {
    fn read(bytes: &[u8]) -> Result<Self, MessageError>;
    fn write(&self) -> Vec<u8>;
}

macro_rules! parts {
    ($($what:ty: $read:expr, $write:expr;)*) => {$(
        impl Part for $what {
            fn read(bytes: &[u8]) -> Result<Self, MessageError> {
                $read(bytes)
            }

            fn write(&self) -> Vec<u8> {
                $write(self)
            }
        }
    )*};
}

parts! {
    ToProplet: decode, encode;
    FromProplet: decode, encode;
    ToProxy: decode, encode;
    FromProxy: decode, encode;
    Input: Input::from_bytes, Input::to_bytes;
    Output: Output::from_bytes, Output::to_bytes;
}

fn check_as<T: Part + PartialEq + Debug>(
    file: &File,
    samples: impl IntoIterator<Item = (String, T)>,
    expected: &str,
) {
    let [body] = &*file.bodies else {
        panic!("one body")
    };
    let decoded = T::read(body);
    if file.field("expect") == "malformed" {
        assert!(decoded.is_err(), "{decoded:?}");
        return;
    }
    let decoded = decoded.unwrap();
    assert_eq!(decoded.write(), *body);
    let (_, sample) = samples
        .into_iter()
        .find(|(name, _)| name == expected)
        .unwrap();
    assert_eq!(decoded, sample);
}

/// A new variant does not compile until it has a name here, and fails until it has a vector.
fn to_proplet_name(message: &ToProplet) -> String {
    let name = match message {
        ToProplet::Welcome(_) => "welcome",
        ToProplet::Start(start) if start.module.sealed.is_some() => "start-inline",
        ToProplet::Start(_) => "start-fetch",
        ToProplet::Stop(_) => "stop",
        ToProplet::Beat(_) => "beat",
        ToProplet::Settled(_) => "settled",
        ToProplet::Piece(_) => "piece",
        ToProplet::NoModule(_) => "no-module",
        ToProplet::Watch(watch) if watch.from.is_some() => "watch-from",
        ToProplet::Watch(_) => "watch-on",
        ToProplet::StartImage(_) => "start-image",
        ToProplet::StartAttested(_) => "start-attested",
    };
    format!("to-proplet-{name}")
}

/// See [`to_proplet_name`].
fn from_proplet_name(message: &FromProplet) -> String {
    let name = match message {
        FromProplet::Hello(_) => "hello",
        FromProplet::Heartbeat(_) => "heartbeat",
        FromProplet::Started(_) => "started",
        FromProplet::Refused(refused) => match refused.reason {
            Refusal::Busy => "refused-busy",
            Refusal::OutboxFull => "refused-outbox-full",
            Refusal::Unopenable => "refused-unopenable",
            Refusal::NoModule => "refused-no-module",
            Refusal::LeaseLost => "refused-lease-lost",
            Refusal::Leaving => "refused-leaving",
            Refusal::AboveCeiling => "refused-above-ceiling",
            Refusal::NoTee => "refused-no-tee",
            Refusal::NoKey => "refused-no-key",
            Refusal::Store => "refused-store",
            Refusal::NoInput => "refused-no-input",
            Refusal::NoOutput => "refused-no-output",
            Refusal::NoPlace => "refused-no-place",
        },
        FromProplet::Finished(report) => match report.exit {
            ExitKind::Returned => "finished-returned",
            ExitKind::Exited => "finished-exited",
            ExitKind::Trap => "finished-trap",
            ExitKind::Limit => "finished-limit",
            ExitKind::Inconclusive => "finished-inconclusive",
            ExitKind::Refused => "finished-refused",
            ExitKind::Escaped => "finished-escaped",
            ExitKind::Host => "finished-host",
            ExitKind::Lost => "finished-lost",
            ExitKind::Stopped => "finished-stopped",
        },
        FromProplet::Fetch(_) => "fetch",
        FromProplet::Goodbye => "goodbye",
        FromProplet::Tee(_) => "tee",
        FromProplet::HelloInTee(_) => "hello-in-tee",
        FromProplet::Reaches(_) => "reaches",
        FromProplet::FinishedAttested(_) => "finished-attested",
        FromProplet::Printed(printed) => match printed.stream {
            Stream::Stdout => "printed-stdout",
            Stream::Stderr => "printed-stderr",
        },
    };
    format!("from-proplet-{name}")
}

fn attempt(number: u32) -> AttemptId {
    let hash = digest(&SHA256, b"task");
    let task = Uuid::from_bytes(hash.as_ref()[..16].try_into().unwrap());
    AttemptId {
        task: TaskId(task),
        number,
    }
}

pub(crate) fn module_digest() -> Digest {
    digest_of(b"module")
}

pub(crate) fn digest_of(label: &[u8]) -> Digest {
    Digest(digest(&SHA256, label).as_ref().try_into().unwrap())
}

fn trace() -> Trace {
    let part = |label: &[u8], len| HEXLOWER.encode(&digest(&SHA256, label).as_ref()[..len]);
    let text = format!("00-{}-{}-01", part(b"trace", 16), part(b"span", 8));
    text.parse().unwrap()
}

fn to_proplet() -> Vec<ToProplet> {
    let watch = |from| {
        ToProplet::Watch(Watch {
            watcher: u64::MAX,
            attempt: attempt(3),
            from,
            credit: 16,
            lease_ms: 5_000,
        })
    };
    let start = |sealed: Option<&[u8]>| {
        ToProplet::Start(Start {
            attempt: attempt(3),
            tenant: "acme".to_owned(),
            app_name: "add.wasm".to_owned(),
            module: Module {
                digest: module_digest(),
                sealed_len: 300,
                sealed: sealed.map(ByteBuf::from),
            },
            input: ByteBuf::from(b"sealed input"),
            trace: trace(),
        })
    };
    let image = StartImage {
        attempt: attempt(3),
        tenant: "acme".to_owned(),
        app_name: "add".to_owned(),
        image: format!("ghcr.io/me/add:1@{}", digest_of(b"image")),
        input: ByteBuf::from(b"sealed input"),
        trace: trace(),
    };
    vec![
        ToProplet::Welcome(Welcome { lease_ms: 30_000 }),
        start(Some(b"sealed module")),
        start(None),
        ToProplet::Stop(attempt(3)),
        ToProplet::Beat(Beat {
            number: 300,
            void: vec![attempt(1), attempt(2)],
        }),
        ToProplet::Settled(attempt(u32::MAX)),
        ToProplet::Piece(Piece {
            digest: module_digest(),
            index: 1,
            count: 2,
            bytes: ByteBuf::from(b"piece"),
        }),
        ToProplet::NoModule(module_digest()),
        watch(Some([0, 1 << 40])),
        watch(None),
        ToProplet::StartImage(image.clone()),
        attested::start(image),
    ]
}

fn about() -> About {
    About {
        description: "a box".to_owned(),
        tags: vec!["gpu".to_owned(), "arm".to_owned()],
        location: "cellar".to_owned(),
        os: "linux".to_owned(),
        hostname: "box-7".to_owned(),
        cpu_arch: "x86_64".to_owned(),
        total_memory_bytes: 1 << 40,
        proplet_version: "0.1.0".to_owned(),
        wasm_runtime: "wasmtime 48".to_owned(),
    }
}

fn report(exit: ExitKind) -> Report {
    Report {
        attempt: attempt(1),
        success: matches!(exit, ExitKind::Returned | ExitKind::Exited),
        exit,
        output: ByteBuf::from(b"sealed output"),
        usage: Usage {
            prepare_us: 1,
            compile_us: 1 << 7,
            run_us: 1 << 14,
            fuel: u64::MAX,
            memory_peak_bytes: 65536,
            cpu_us: 1 << 13,
            input_bytes: 5,
            output_bytes: 1 << 8,
        },
    }
}

fn from_proplet() -> Vec<FromProplet> {
    let refused = |reason| {
        FromProplet::Refused(Refused {
            attempt: attempt(1),
            reason,
            text: "in words".to_owned(),
        })
    };
    let printed = |stream| {
        FromProplet::Printed(Printed {
            watcher: u64::MAX,
            attempt: attempt(1),
            stream,
            after: 100,
            offset: 300,
            len: 5,
            printed: 1 << 40,
            bytes: ByteBuf::from(b"sealed piece"),
        })
    };
    let vitals = Vitals {
        cpu_user_ms: 1000,
        cpu_system_ms: 200,
        rss_bytes: 1 << 33,
    };
    let holds = vec![attempt(1), attempt(2)];
    let hello = Hello {
        about: about(),
        holds: vec![attempt(1)],
        slots: 8,
    };
    let mut messages = vec![
        FromProplet::Hello(hello.clone()),
        attested::hello(hello),
        FromProplet::Heartbeat(Heartbeat {
            number: 300,
            holds,
            vitals,
        }),
        FromProplet::Started(attempt(1)),
        refused(Refusal::Busy),
        refused(Refusal::OutboxFull),
        refused(Refusal::Unopenable),
        refused(Refusal::NoModule),
        refused(Refusal::LeaseLost),
        refused(Refusal::Leaving),
        refused(Refusal::AboveCeiling),
        refused(Refusal::NoTee),
        refused(Refusal::NoKey),
        refused(Refusal::Store),
        refused(Refusal::NoInput),
        refused(Refusal::NoOutput),
        refused(Refusal::NoPlace),
        FromProplet::Fetch(Fetch {
            attempt: attempt(1),
            digest: module_digest(),
            first: 8,
            count: 8,
        }),
        FromProplet::Goodbye,
        printed(Stream::Stdout),
        printed(Stream::Stderr),
    ];
    messages.extend(ExitKind::ALL.map(report).map(FromProplet::Finished));
    messages.push(attested::tee());
    messages.push(attested::finished(report(ExitKind::Returned)));
    messages.push(FromProplet::Reaches(StoreMark([9; 16])));
    messages
}
