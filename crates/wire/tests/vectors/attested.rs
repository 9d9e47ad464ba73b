//! The messages about work in trusted execution environments, as values.

use propeller_wire::message::{
    AttestedReport, FromProplet, Hello, HelloInTee, Proof, Report, StartAttested, StartImage,
    Steps, TeeClaim, ToProplet,
};
use serde_bytes::ByteBuf;

use crate::samples::digest_of;

pub(crate) fn start(start: StartImage) -> ToProplet {
    ToProplet::StartAttested(Box::new(StartAttested {
        start,
        key: "default/key/add".to_owned(),
    }))
}

pub(crate) fn hello(hello: Hello) -> FromProplet {
    FromProplet::HelloInTee(Box::new(HelloInTee {
        hello,
        kind: "tdx".to_owned(),
    }))
}

pub(crate) fn tee() -> FromProplet {
    FromProplet::Tee(TeeClaim {
        kind: "tdx".to_owned(),
        evidence: ByteBuf::from(b"{}"),
    })
}

pub(crate) fn finished(report: Report) -> FromProplet {
    FromProplet::FinishedAttested(Box::new(AttestedReport {
        report,
        proof: Proof {
            kind: "snp".to_owned(),
            key: "kbs:///default/key/add".to_owned(),
            image: digest_of(b"image"),
            session: digest_of(b"binding").0,
            evidence: ByteBuf::from(b"{}"),
            steps: Steps {
                evidence_us: 1,
                token_us: 1 << 7,
                key_us: 1 << 14,
                image_us: 1 << 21,
                decrypt_us: 1 << 28,
            },
        },
    }))
}
