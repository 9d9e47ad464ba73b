//! `/keybroker/v1/…`: what is there, what would be decided, what has happened.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::{Api, bearer};
use crate::admins::May;
use crate::audit::{Entry, Event};
use crate::broker::{Explain, Since};
use crate::evidence::chain;
use crate::refusal::Refusal;

type Peer = ConnectInfo<SocketAddr>;

pub(super) async fn resources(
    State(api): State<Api>,
    ConnectInfo(peer): Peer,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let bearer = bearer(&headers);
    let ask = api.ask(move |broker| {
        let admin = broker.admin(peer.ip(), bearer.as_deref(), ("resources", May::List))?;
        Ok(broker.list(&admin))
    });
    ask.await.map(Json)
}

pub(super) async fn explain(
    State(api): State<Api>,
    ConnectInfo(peer): Peer,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let bearer = bearer(request.headers());
    let body = api.body(request).await?;
    let ask = api.ask(move |broker| {
        let admin = broker.admin(peer.ip(), bearer.as_deref(), ("explain", May::Explain))?;
        let asked: Explain = serde_json::from_slice(&body)
            .map_err(|error| Refusal::Invalid(format!("malformed JSON: {error}")))?;
        broker.explain(&admin, asked)
    });
    ask.await.map(Json)
}

pub(super) async fn audit(
    State(api): State<Api>,
    ConnectInfo(peer): Peer,
    headers: HeaderMap,
    since: Result<Query<Since>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let bearer = bearer(&headers);
    let ask = api.ask(move |broker| {
        let admin = broker.admin(peer.ip(), bearer.as_deref(), ("audit", May::Audit))?;
        let Query(since) =
            since.map_err(|_| Refusal::Invalid("`since` is the number of a line".to_owned()))?;
        broker.audit(&admin, &since)
    });
    ask.await.map(Json)
}

pub(super) async fn reload(
    State(api): State<Api>,
    ConnectInfo(peer): Peer,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let bearer = bearer(&headers);
    let ask = api.ask(move |broker| {
        let admin = broker.admin(peer.ip(), bearer.as_deref(), ("reload", May::Policy))?;
        let entry = Entry {
            role: Some(admin.role().to_owned()),
            ..Entry::by(Event::Reloaded, peer.ip())
        };
        let reloaded = broker.reload(entry);
        let said = reloaded.map_err(|error| {
            Refusal::Invalid(format!("nothing has changed, because {}", chain(&error)))
        })?;
        Ok(json!({"reloaded": said}))
    });
    ask.await.map(Json)
}
