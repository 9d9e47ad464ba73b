//! One request and its answer, both bounded.

use std::sync::Arc;

use futures_util::StreamExt as _;
use reqwest::header::{AUTHORIZATION, COOKIE as COOKIE_HEADER, HeaderMap, HeaderValue, SET_COOKIE};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::address::KbsAddress;
use super::error::{KbsError, Refusal, Step};
use super::http::client;
use super::{BODY_BYTES_MAX, COOKIE};

/// An honest cookie is 32 digits.
const COOKIE_LEN_MAX: usize = 256;

/// Asks one broker.
#[derive(Debug)]
pub(super) struct Exchange {
    http: reqwest::Client,
    pub(super) address: KbsAddress,
}

/// What a broker answered.
pub(super) enum Answer {
    Body(Zeroizing<Vec<u8>>),
    Refused(Refusal),
}

impl Exchange {
    pub(super) fn new(address: KbsAddress, roots: &[Vec<u8>]) -> Result<Self, KbsError> {
        let http = client(&address, roots).map_err(KbsError::Setup)?;
        Ok(Self { http, address })
    }

    /// `POST /auth`: the answer, and the cookie for the next step.
    pub(super) async fn auth<T: DeserializeOwned>(
        &self,
        body: &impl Serialize,
    ) -> Result<(T, HeaderValue), KbsError> {
        let step = Step::Auth;
        let request = self.http.post(self.address.endpoint("auth")).json(body);
        let response = self.sent(request.send().await, step)?;
        let cookie = cookie(response.headers());
        let answer = self.accepted(response, step).await?;
        let cookie =
            cookie.ok_or_else(|| self.malformed(step, format!("it has no cookie {COOKIE}")))?;
        Ok((answer, cookie))
    }

    /// `POST /attest`
    pub(super) async fn attest<T: DeserializeOwned>(
        &self,
        cookie: HeaderValue,
        body: &impl Serialize,
    ) -> Result<T, KbsError> {
        let request = self.http.post(self.address.endpoint("attest"));
        let request = request.header(COOKIE_HEADER, cookie).json(body);
        let response = self.sent(request.send().await, Step::Attest)?;
        self.accepted(response, Step::Attest).await
    }

    /// `GET /resource/…`
    pub(super) async fn resource(&self, path: &str, token: &str) -> Result<Answer, KbsError> {
        let step = Step::Resource;
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| self.malformed(step, "its token is no header's value"))?;
        bearer.set_sensitive(true);
        let request = self
            .http
            .get(self.address.endpoint(&format!("resource/{path}")));
        let response = self.sent(request.header(AUTHORIZATION, bearer).send().await, step)?;
        self.answer(response, step).await
    }

    async fn accepted<T: DeserializeOwned>(
        &self,
        response: Response,
        step: Step,
    ) -> Result<T, KbsError> {
        match self.answer(response, step).await? {
            Answer::Refused(refusal) => Err(refusal.at(self.address.to_string(), step)),
            Answer::Body(body) => serde_json::from_slice(&body)
                // The parser's words repeat parts of the body.
                .map_err(|error| {
                    self.malformed(step, format!("no such JSON ({:?})", error.classify()))
                }),
        }
    }

    async fn answer(&self, response: Response, step: Step) -> Result<Answer, KbsError> {
        let status = response.status();
        let body = self.body(response, step).await?;
        if status.is_success() {
            return Ok(Answer::Body(body));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            let address = self.address.to_string();
            return Err(KbsError::Busy { address });
        }
        if status.is_server_error() {
            return Err(KbsError::Unavailable {
                address: self.address.to_string(),
                status: status.as_u16(),
            });
        }
        let refusal = Refusal::read(&body);
        refusal.map(Answer::Refused).ok_or_else(|| {
            let hint = match (status, step) {
                (StatusCode::NOT_FOUND, _) => ", so there is no key broker at this address",
                (StatusCode::PAYLOAD_TOO_LARGE, _) => ", so the request is too large for it",
                (StatusCode::BAD_REQUEST, Step::Resource) => {
                    ", perhaps because its own token is too long for it (verbose_token)"
                }
                _ => "",
            };
            self.malformed(step, format!("HTTP status {status} without a reason{hint}"))
        })
    }

    async fn body(&self, response: Response, step: Step) -> Result<Zeroizing<Vec<u8>>, KbsError> {
        let said = response.content_length().unwrap_or_default();
        let too_long = || self.malformed(step, format!("it has more than {BODY_BYTES_MAX} bytes"));
        // At its full length from the start, so that growing leaves no copy behind.
        let reserve = usize::try_from(said)
            .ok()
            .filter(|said| *said <= BODY_BYTES_MAX);
        let mut body = Zeroizing::new(Vec::with_capacity(reserve.ok_or_else(too_long)?));
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = self.sent(piece, step)?;
            if body.len() + piece.len() > BODY_BYTES_MAX {
                return Err(too_long());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn sent<T>(&self, sent: reqwest::Result<T>, step: Step) -> Result<T, KbsError> {
        sent.map_err(|source| KbsError::Network {
            address: self.address.to_string(),
            step,
            source: Arc::new(source.without_url()),
        })
    }

    pub(super) fn malformed(&self, step: Step, why: impl Into<String>) -> KbsError {
        KbsError::Malformed {
            address: self.address.to_string(),
            step,
            why: why.into(),
        }
    }
}

/// `name=value` of the session's cookie, without its attributes.
fn cookie(headers: &HeaderMap) -> Option<HeaderValue> {
    headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter_map(|text| text.split(';').next())
        .map(str::trim)
        .find(|pair| pair.split_once('=').is_some_and(|(name, _)| name == COOKIE))
        .filter(|pair| pair.len() <= COOKIE_LEN_MAX)
        .and_then(|pair| HeaderValue::from_str(pair).ok())
}
