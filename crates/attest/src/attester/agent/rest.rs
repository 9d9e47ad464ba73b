//! api-server-rest: three paths of HTTP.

use std::net::SocketAddr;

use data_encoding::BASE64URL_NOPAD;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::error::{AgentError, Fault, excerpt};
use super::{MESSAGE_BYTES_MAX, Question, local};

#[derive(Debug, Clone)]
pub(super) struct Peer {
    http: Client,
    address: SocketAddr,
}

impl Peer {
    pub(super) fn new(address: SocketAddr) -> Result<Self, AgentError> {
        let http = local::client(address, |client| client)?;
        Ok(Self { http, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let url = format!("http://{}/{}", self.address, path(question));
        let response = self.http.get(url).send().await?;
        let status = response.status();
        let body = body(response).await?;
        match (status, question) {
            (StatusCode::OK, Question::Tee) => kind(&body),
            (StatusCode::OK, _) => Ok(body),
            (StatusCode::NOT_FOUND, _) => Err(Fault::Refused(
                "it has no such path: start api-server-rest with `--features attestation` or `all`"
                    .to_owned(),
            )),
            (status, _) => Err(Fault::Refused(format!("{} ({status})", excerpt(&body)))),
        }
    }
}

fn path(question: Question<'_>) -> String {
    match question {
        Question::Token => "aa/token?token_type=kbs".to_owned(),
        Question::Tee => "info".to_owned(),
        Question::Evidence { report_data } => {
            let data = BASE64URL_NOPAD.encode(report_data);
            format!("aa/evidence?runtime_data={data}&encoding=base64")
        }
    }
}

/// The kind of TEE in what it says of itself.
fn kind(info: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    #[derive(Deserialize)]
    struct Info {
        tee: Option<String>,
    }
    let info: Info = serde_json::from_slice(info)
        .map_err(|_| Fault::Malformed("what it says of itself is not its JSON"))?;
    let tee = info.tee.ok_or_else(|| {
        Fault::Refused("it does not say of which kind it is, so it reaches no agent".to_owned())
    })?;
    Ok(Zeroizing::new(tee.into_bytes()))
}

async fn body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(piece) = response.chunk().await? {
        if piece.len() > MESSAGE_BYTES_MAX - body.len() {
            return Err(Fault::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}
