//! Tasks: create, list, view, change, start, stop, delete, and what came of them.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use propeller_api::{
    Problem, Results, Started, Stopped, Task, TaskMetrics, TaskMetricsPage, TaskPage, TaskRequest,
    time_text,
};
use propeller_model::TaskId;
use serde::Deserialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::body::{Document, Query};
use super::new_task::{created, given, module_of, new_task};
use super::request::{
    Paging, change_input, filter, metadata as labels_json, name, pinned, priority, task_id, trace,
};
use super::view::{Detail, Renderer, find, usage};
use super::{Api, ApiError};
use crate::dispatch::{Change, Command, NewModule};
use crate::store::Reader;
use crate::store::attempt::attempt_list;
use crate::store::task::{Task as TaskRow, task_list};

/// Longest wait in one request: below what proxies cut off.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// `POST /tasks`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CreateQuery {
    /// Ours: start it in the same commit.
    #[serde(default)]
    start: bool,
}

/// `GET /tasks/{id}`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ViewQuery {
    /// Ours: seconds to wait until the task is settled.
    wait: Option<f64>,
}

/// Creates a task, and starts it if asked to.
#[utoipa::path(post, path = "/tasks", tag = "tasks", request_body = TaskRequest,
    params(("start" = Option<bool>, Query, description = "Ours: start it in the same commit")),
    responses((status = 201, body = Task), (status = 400, body = Problem)))]
pub(super) async fn create(
    State(api): State<Api>,
    Query(query): Query<CreateQuery>,
    headers: HeaderMap,
    Document { request, slot }: Document,
) -> Result<Response, ApiError> {
    let module = module_of(&api, &request, slot).await?;
    let id = TaskId(Uuid::now_v7());
    let (module, known, image) = match module {
        Some(NewModule::Sealed(module)) => (Some(module.digest), Some(module), None),
        Some(NewModule::Known(digest)) => (Some(digest), None, None),
        Some(NewModule::Image(image)) => (None, None, Some(image)),
        None => (None, None, None),
    };
    let task = TaskRow {
        module,
        image,
        ..new_task(&api, id, trace(&headers), &request)?
    };
    let shown = task.clone();
    let command = Command::Create {
        task: Box::new(task),
        module: known,
        start: query.start,
    };
    api.ask(command).await?;
    let task = created(&api, shown, query.start)?;
    let location = [(header::LOCATION, format!("/tasks/{id}"))];
    Ok((StatusCode::CREATED, location, Json(task)).into_response())
}

/// Tasks, newest first.
#[utoipa::path(get, path = "/tasks", tag = "tasks",
    params(("offset" = Option<u64>, Query), ("limit" = Option<u64>, Query, description = "1 to 100"),
        ("metadata" = Option<String>, Query, description = "A JSON object: labels that must match")),
    responses((status = 200, body = TaskPage), (status = 400, body = Problem)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(paging): Query<Paging>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<TaskPage>, ApiError> {
    let (offset, limit) = paging.read()?;
    let labels = filter(&query)?;
    let renderer = api.renderer();
    api.read(move |reader| {
        let (rows, total) = reader.with(|db| task_list(db, offset, limit, &labels))?;
        let tasks = rows
            .into_iter()
            .map(|row| renderer.render(reader, row, Detail::Brief))
            .collect::<Result<_, _>>()?;
        Ok(Json(TaskPage {
            offset,
            limit,
            total,
            tasks,
        }))
    })
    .await
}

/// One task, at once or when it is settled.
#[utoipa::path(get, path = "/tasks/{id}", tag = "tasks",
    params(("id" = String, Path), ("wait" = Option<f64>, Query, description = "Ours: seconds to wait until the task is settled, at most 30")),
    responses((status = 200, body = Task), (status = 404, body = Problem)))]
pub(super) async fn view(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<ViewQuery>,
) -> Result<Json<Task>, ApiError> {
    let id = task_id(&id)?;
    if let Some(seconds) = query.wait {
        let wait = Duration::try_from_secs_f64(seconds)
            .map_err(|_| ApiError::invalid("wait is a number of seconds"))?;
        settled(&api, id, wait.min(WAIT_MAX)).await?;
    }
    viewed(&api, id).await
}

const STAYS_ENCRYPTED: &str = "the task is encrypted and stays so: make another task";

/// Changes what is mentioned and keeps the rest.
#[utoipa::path(put, path = "/tasks/{id}", tag = "tasks", request_body = TaskRequest,
    params(("id" = String, Path)),
    responses((status = 200, body = Task), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn update(
    State(api): State<Api>,
    Path(id): Path<String>,
    Document { request, slot }: Document,
) -> Result<Json<Task>, ApiError> {
    let id = task_id(&id)?;
    let module = module_of(&api, &request, slot).await?;
    let plainly = request.encrypted == Some(false) && module.is_none();
    let (row, before) = api.given(id).await?;
    if plainly && row.image.is_some_and(|image| image.key.is_some()) {
        return Err(ApiError::conflict(STAYS_ENCRYPTED));
    }
    let mut input = before.clone();
    change_input(&mut input, &request, &api.shared.objects)?;
    let change = Change {
        name: given(&request.name).map(name).transpose()?,
        app_name: given(&request.file_name).map(name).transpose()?,
        priority: request.priority.map(priority).transpose()?,
        pinned: request.proplet_id.as_deref().map(pinned).transpose()?,
        metadata: request.metadata.as_ref().map(labels_json).transpose()?,
        daemon: request.daemon,
        input: (input != before)
            .then(|| api.new_input(id, row.input, &before, &input))
            .transpose()?,
        module,
    };
    api.ask(Command::Update { task: id, change }).await?;
    viewed(&api, id).await
}

/// Forgets a task; one that is under way is stopped first.
#[utoipa::path(delete, path = "/tasks/{id}", tag = "tasks", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn delete(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    api.ask(Command::Delete(task_id(&id)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Starts a task, or starts it again.
#[utoipa::path(post, path = "/tasks/{id}/start", tag = "tasks", params(("id" = String, Path)),
    responses((status = 200, body = Started), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn start(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Started>, ApiError> {
    let (task, trace) = (task_id(&id)?, trace(&headers));
    api.ask(Command::Start { task, trace }).await?;
    Ok(Json(Started { started: true }))
}

/// Stops a task.
#[utoipa::path(post, path = "/tasks/{id}/stop", tag = "tasks", params(("id" = String, Path)),
    responses((status = 200, body = Stopped), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn stop(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Stopped>, ApiError> {
    api.ask(Command::Stop(task_id(&id)?)).await?;
    Ok(Json(Stopped { stopped: true }))
}

/// What the last run produced; never an empty body.
#[utoipa::path(get, path = "/tasks/{id}/results", tag = "tasks",
    params(("id" = String, Path), ("wait" = Option<f64>, Query, description = "Ours: seconds to wait until the task is settled, at most 30")),
    responses((status = 200, body = Results), (status = 404, body = Problem)))]
pub(super) async fn results(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<ViewQuery>,
) -> Result<Json<Results>, ApiError> {
    let id = task_id(&id)?;
    if let Some(seconds) = query.wait {
        let wait = Duration::try_from_secs_f64(seconds)
            .map_err(|_| ApiError::invalid("wait is a number of seconds"))?;
        settled(&api, id, wait.min(WAIT_MAX)).await?;
    }
    let renderer = api.renderer();
    api.read(move |reader| renderer.results(reader, id).map(Json))
        .await
}

/// What every attempt cost, newest first.
#[utoipa::path(get, path = "/tasks/{id}/metrics", tag = "tasks",
    params(("id" = String, Path), ("offset" = Option<u64>, Query), ("limit" = Option<u64>, Query)),
    responses((status = 200, body = TaskMetricsPage), (status = 404, body = Problem)))]
pub(super) async fn metrics(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<TaskMetricsPage>, ApiError> {
    let id = task_id(&id)?;
    api.read(move |reader| {
        let items = measurements(reader, id)?;
        let page = paging.page(items)?;
        Ok(Json(TaskMetricsPage {
            offset: page.offset,
            limit: page.limit,
            total: page.total,
            metrics: page.items,
        }))
    })
    .await
}

/// The task as it stands in the store.
pub(super) async fn viewed(api: &Api, id: TaskId) -> Result<Json<Task>, ApiError> {
    let renderer = api.renderer();
    api.read(move |reader| renderer.task(reader, id).map(Json))
        .await
}

impl Api {
    pub(super) fn renderer(&self) -> Renderer {
        Renderer {
            keys: self.keys(),
            tenant: self.shared.tenant.clone(),
        }
    }
}

/// Waits until a task is settled or the time is up, whichever comes first.
async fn settled(api: &Api, id: TaskId, wait: Duration) -> Result<(), ApiError> {
    let (settled, done) = oneshot::channel();
    let command = Command::Watch {
        task: id,
        settled: std::sync::Mutex::new(Some(settled)),
    };
    api.ask(command).await?;
    // Whatever ends the wait, the caller looks at the store.
    let _settled_or_not = tokio::time::timeout(wait, done).await;
    Ok(())
}

fn measurements(reader: &Reader, id: TaskId) -> Result<Vec<TaskMetrics>, ApiError> {
    find(reader, id)?;
    let attempts = reader.with(|db| attempt_list(db, id))?;
    let mut items: Vec<TaskMetrics> = attempts
        .into_iter()
        .filter_map(|attempt| {
            Some(TaskMetrics {
                task_id: id.to_string(),
                proplet_id: attempt.proplet,
                metrics: usage(attempt.usage.as_deref()?)?,
                timestamp: time_text(attempt.ended_ms),
            })
        })
        .collect();
    items.reverse();
    Ok(items)
}
