//! Proplets: who is there, how they are, and forgetting one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use propeller_api::{
    CpuMetrics, History, MemoryMetrics, Metadata, Problem, Proplet, PropletMetrics,
    PropletMetricsPage, PropletPage, time_text,
};
use propeller_model::PropletId;
use propeller_scheduler::Link;
use propeller_wire::message::Vitals;
use serde::Deserialize;

use super::body::Query;
use super::request::{Paging, proplet_id};
use super::{Api, ApiError};
use crate::dispatch::{Answer, Command, Member, Refusal, TeeStanding};

/// `GET /proplets`.
#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    status: Option<String>,
}

/// Proplets, by id.
#[utoipa::path(get, path = "/proplets", tag = "proplets",
    params(("offset" = Option<u64>, Query), ("limit" = Option<u64>, Query),
        ("status" = Option<String>, Query, description = "`active` or `inactive`")),
    responses((status = 200, body = PropletPage), (status = 400, body = Problem)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(paging): Query<Paging>,
    Query(query): Query<ListQuery>,
) -> Result<Json<PropletPage>, ApiError> {
    let wanted = match query.status.as_deref() {
        None | Some("") => None,
        Some("active") => Some(true),
        Some("inactive") => Some(false),
        Some(_) => return Err(ApiError::invalid("status is `active` or `inactive`")),
    };
    let mut fleet = fleet(&api).await?;
    fleet.retain(|member| wanted.is_none_or(|alive| member.alive == alive));
    let page = paging.page(fleet)?;
    Ok(Json(PropletPage {
        offset: page.offset,
        limit: page.limit,
        total: page.total,
        proplets: page.items.into_iter().map(proplet).collect(),
    }))
}

/// One proplet.
#[utoipa::path(get, path = "/proplets/{id}", tag = "proplets", params(("id" = String, Path)),
    responses((status = 200, body = Proplet), (status = 404, body = Problem)))]
pub(super) async fn view(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Proplet>, ApiError> {
    Ok(Json(proplet(member(&api, &id).await?)))
}

/// Forgets a proplet that has nothing to do.
#[utoipa::path(delete, path = "/proplets/{id}", tag = "proplets", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn delete(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    api.ask(Command::ForgetProplet(proplet_id(&id)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Measurements of a proplet's process, newest first.
#[utoipa::path(get, path = "/proplets/{id}/metrics", tag = "proplets",
    params(("id" = String, Path), ("offset" = Option<u64>, Query), ("limit" = Option<u64>, Query)),
    responses((status = 200, body = PropletMetricsPage), (status = 404, body = Problem)))]
pub(super) async fn metrics(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<PropletMetricsPage>, ApiError> {
    let member = member(&api, &id).await?;
    let vitals: Vec<(i64, Vitals)> = member.vitals.into_iter().collect();
    let measurements = (0..vitals.len())
        .map(|index| measurement(&member.id, vitals[index], vitals.get(index + 1)))
        .collect();
    let page = paging.page(measurements)?;
    Ok(Json(PropletMetricsPage {
        offset: page.offset,
        limit: page.limit,
        total: page.total,
        metrics: page.items,
    }))
}

/// Signs of life, newest first.
#[utoipa::path(get, path = "/proplets/{id}/alive-history", tag = "proplets",
    params(("id" = String, Path), ("offset" = Option<u64>, Query), ("limit" = Option<u64>, Query)),
    responses((status = 200, body = History), (status = 404, body = Problem)))]
pub(super) async fn alive_history(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<History>, ApiError> {
    let member = member(&api, &id).await?;
    let page = paging.page(member.history.into_iter().collect())?;
    Ok(Json(History {
        offset: page.offset,
        limit: page.limit,
        total: page.total,
        history: page
            .items
            .into_iter()
            .map(|ms| time_text(Some(ms)))
            .collect(),
    }))
}

/// What a proplet is, as a Semantic Definition Format document.
#[utoipa::path(get, path = "/proplets/{id}/sdf", tag = "proplets", params(("id" = String, Path)),
    responses((status = 200, body = serde_json::Value), (status = 404, body = Problem)))]
pub(super) async fn sdf(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let member = member(&api, &id).await?;
    let text = serde_json::json!({"type": "string"});
    let number = serde_json::json!({"type": "integer"});
    let flag = serde_json::json!({"type": "boolean"});
    Ok(Json(serde_json::json!({
        "info": {
            "title": format!("Propeller Proplet: {0} ({0})", member.id),
            "version": "1.0",
            "license": "Apache-2.0",
        },
        "sdfThing": {"Proplet": {
            "description": "A Propeller proplet — an edge node that executes WebAssembly tasks",
            "sdfProperty": {
                "id": text, "name": text, "alive": flag, "task_count": number,
                "metadata": {"sdfRef": "#/sdfThing/Proplet/sdfData/PropletMetadata"},
            },
            "sdfAction": {
                "start_task": {"sdfInputData": {"sdfRef": "#/sdfThing/Proplet/sdfData/TaskDispatch"}},
                "stop_task": {"sdfInputData": {"sdfRef": "#/sdfThing/Proplet/sdfData/TaskStop"}},
            },
            "sdfEvent": {
                "heartbeat": {"sdfOutputData": {"sdfRef": "#/sdfThing/Proplet/sdfData/HeartbeatPayload"}},
                "task_result": {"sdfOutputData": {"sdfRef": "#/sdfThing/Proplet/sdfData/TaskResult"}},
            },
            "sdfData": {
                "PropletMetadata": {"type": "object", "properties": {
                    "description": text, "tags": {"type": "array", "items": text}, "location": text,
                    "os": text, "hostname": text, "cpu_arch": text, "total_memory_bytes": number,
                    "proplet_version": text, "wasm_runtime": text}},
                "TaskDispatch": {"type": "object", "properties": {"id": text, "name": text,
                    "inputs": {"type": "array", "items": text}}},
                "TaskStop": {"type": "object", "properties": {"id": text}},
                "HeartbeatPayload": {"type": "object", "properties": {"proplet_id": text,
                    "status": text, "namespace": text}},
                "TaskResult": {"type": "object", "properties": {"task_id": text,
                    "proplet_id": text, "results": text, "error": text}},
            },
        }},
    })))
}

async fn fleet(api: &Api) -> Result<Vec<Member>, ApiError> {
    match api.ask(Command::Fleet).await? {
        Answer::Fleet(members) => Ok(members),
        Answer::Done | Answer::Following(_) | Answer::Settled => {
            Err(ApiError::internal("the dispatcher gave another answer"))
        }
    }
}

async fn member(api: &Api, id: &str) -> Result<Member, ApiError> {
    let id = proplet_id(id)?;
    let mut fleet = fleet(api).await?;
    let position = fleet.iter().position(|member| member.id == id);
    match position {
        Some(position) => Ok(fleet.swap_remove(position)),
        None => Err(Refusal::NoProplet(id).into()),
    }
}

fn proplet(member: Member) -> Proplet {
    let (about, tee) = (member.about, member.tee.as_ref());
    Proplet {
        name: member.id.to_string(),
        task_count: member.busy,
        alive: member.alive,
        last_alive_at: (member.heard_ms > 0).then(|| time_text(Some(member.heard_ms))),
        metadata: Metadata {
            description: about.description,
            tags: about.tags,
            location: about.location,
            ip: String::new(),
            environment: String::new(),
            os: about.os,
            hostname: about.hostname,
            cpu_arch: about.cpu_arch,
            total_memory_bytes: about.total_memory_bytes,
            proplet_version: about.proplet_version,
            wasm_runtime: about.wasm_runtime,
        },
        link: match member.link {
            Some(Link::Sealed) => "sealed",
            Some(Link::Plain) => "plain",
            Some(Link::KeyMismatch) => "key mismatch",
            None => "not heard from",
        }
        .to_owned(),
        slots: member.slots,
        object_store: member.store,
        tee: tee.map(TeeStanding::label).unwrap_or_default(),
        tee_checked_at: tee
            .and_then(|tee| tee.checked_ms)
            .map(|ms| time_text(Some(ms))),
        tee_refused: tee.and_then(|tee| tee.refused.clone()).unwrap_or_default(),
        id: member.id.to_string(),
    }
}

fn measurement(
    id: &PropletId,
    (at_ms, vitals): (i64, Vitals),
    before: Option<&(i64, Vitals)>,
) -> PropletMetrics {
    let busy = |v: Vitals| v.cpu_user_ms + v.cpu_system_ms;
    let percent = before.map_or(0.0, |(before_ms, before)| {
        let passed = (at_ms - before_ms).max(1);
        millis(busy(vitals).saturating_sub(busy(*before))) / millis(passed.unsigned_abs()) * 100.0
    });
    PropletMetrics {
        proplet_id: id.to_string(),
        namespace: "default".to_owned(),
        timestamp: time_text(Some(at_ms)),
        cpu_metrics: CpuMetrics {
            user_seconds: millis(vitals.cpu_user_ms),
            system_seconds: millis(vitals.cpu_system_ms),
            percent,
        },
        memory_metrics: MemoryMetrics {
            rss_bytes: vitals.rss_bytes,
        },
    }
}

/// Milliseconds as seconds; exact for any time that a process lives.
fn millis(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}
