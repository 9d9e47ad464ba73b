//! `PUT /tasks/{id}/stdin`: a standard input that is too large for a request, as a CES object on its
//! way into the object store.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use propeller_api::{ObjectInfo, Problem};
use propeller_depot::{Depot, DepotError, Name, Part};
use propeller_model::TaskId;
use propeller_model::task::State as TaskState;
use propeller_wire::message::{Input, ObjectKey};

use super::objects::{Octets, check_no_daemon, object_info};
use super::request::task_id;
use super::uploads::Upload;
use super::{Api, ApiError};
use crate::dispatch::{Change, Command};
use crate::objects::{Discard, Discards, Shard, ShardError};
use crate::store::task::Task as TaskRow;

/// Gives a task its standard input as a CES object: one shard (geometry 1+0), sealed with the task's
/// `object_key`.
#[utoipa::path(put, path = "/tasks/{id}/stdin", tag = "tasks",
    params(("id" = String, Path, description = "Task id")),
    request_body(content = inline(Octets), content_type = "application/octet-stream", description = "the shard of a CES object"),
    responses((status = 200, body = ObjectInfo),
        (status = 400, body = Problem, description = "It is no such object, or the manager has no object store"),
        (status = 404, body = Problem),
        (status = 408, body = Problem, description = "It came too slowly"),
        (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 503, body = Problem, description = "Too many objects are being uploaded, or the object store failed")))]
pub(super) async fn upload_stdin(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<ObjectInfo>, ApiError> {
    let id = task_id(&id)?;
    let (depot, discards) = api.shared.objects.store()?;
    let max = api.shared.objects.object_max;
    check_headers(request.headers(), max)?;
    // Before gigabytes are read and written for nobody.
    let (row, input) = api.given(id).await?;
    let key = admit(&row, &input)?;
    let mut upload = api.shared.object_uploads.begin().await?;
    let fresh = Fresh::new(id, discards)?;
    receive(&api, &mut upload, request.into_body(), &depot, fresh.name).await?;
    let shard = judged(&depot, fresh.name, key.clone()).await?;
    give(&api, id, fresh, shard, &key).await.map(Json)
}

/// What can be refused before anything is read.
fn check_headers(headers: &HeaderMap, max: u64) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.starts_with("application/octet-stream")) {
        let detail = "unsupported content type: send a CES object as application/octet-stream";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let len = text(header::CONTENT_LENGTH).and_then(|len| len.parse::<u64>().ok());
    match len.is_some_and(|len| len > max) {
        true => Err(too_large(max)),
        false => Ok(()),
    }
}

/// Whether a task can be given an object now, and the key that it has to be sealed with.
fn admit(row: &TaskRow, input: &Input) -> Result<ObjectKey, ApiError> {
    if matches!(
        row.state,
        TaskState::Assigned { .. } | TaskState::Running { .. }
    ) {
        let detail = "the task is under way: stop it before changing its standard input";
        return Err(ApiError::conflict(detail));
    }
    check_no_daemon(input)?;
    let Some(objects) = &input.objects else {
        let detail = "the task has no key for objects: set object_key with `PUT /tasks/{id}`, and \
                      seal the input with it";
        return Err(ApiError::conflict(detail));
    };
    Ok(objects.key.clone())
}

/// A name for an object that no task has yet. What is there under it goes with this, unless it is
/// kept.
struct Fresh {
    name: Name,
    number: u64,
    discards: Option<Discards>,
}

impl Fresh {
    fn new(task: TaskId, discards: Discards) -> Result<Self, ApiError> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| ApiError::internal("the system gives no random bytes"))?;
        let number = u64::from_ne_bytes(random);
        Ok(Self {
            name: Name {
                task: task.0,
                part: Part::Stdin(number),
            },
            number,
            discards: Some(discards),
        })
    }

    /// From now on a task may have it.
    fn keep(&mut self) -> Option<Discards> {
        self.discards.take()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(discards) = self.keep() {
            discards.add(Discard::Object(self.name));
        }
    }
}

/// Writes a body into the store, a piece at a time.
async fn receive(
    api: &Api,
    upload: &mut Upload,
    body: Body,
    depot: &Depot,
    name: Name,
) -> Result<(), ApiError> {
    let max = api.shared.objects.object_max;
    let failed = |error: DepotError| ApiError::object_store(&error);
    let (mut writer, mut len) = (depot.writer(name), 0_u64);
    let mut body = body.into_data_stream();
    while let Some(piece) = upload.next(&mut body).await? {
        len += piece.len() as u64;
        if len > max {
            return Err(too_large(max));
        }
        writer.write(&piece).await.map_err(failed)?;
        api.shared.metrics.object_bytes("in", piece.len());
    }
    writer.finish().await.map_err(failed)?;
    Ok(())
}

/// What an object in the store says about itself, if a task can have it.
async fn judged(depot: &Depot, name: Name, key: ObjectKey) -> Result<Shard, ApiError> {
    let reader = depot.reader(name).await;
    let reader = reader.map_err(|error| ApiError::object_store(&error))?;
    // The task was deleted meanwhile, and its objects with it.
    let reader = reader.ok_or_else(|| ApiError::conflict("the task was deleted meanwhile"))?;
    let read = tokio::task::spawn_blocking(move || Shard::read(&reader, &key)).await;
    let read = read.map_err(|_| ApiError::internal("reading an object failed"))?;
    read.map_err(|error| match &error {
        ShardError::Read(cause) => {
            tracing::warn!(error = %error, cause = %cause, "an upload met a failing object store");
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
        _ => ApiError::invalid(error.to_string()),
    })
}

/// Makes an object the standard input of its task.
async fn give(
    api: &Api,
    id: TaskId,
    mut fresh: Fresh,
    shard: Shard,
    sealed_with: &ObjectKey,
) -> Result<ObjectInfo, ApiError> {
    // As it is now: the upload may have taken hours.
    let (row, before) = api.given(id).await?;
    if admit(&row, &before)? != *sealed_with {
        let detail = "the task got another object_key meanwhile: seal the input with that one";
        return Err(ApiError::conflict(detail));
    }
    let mut after = before.clone();
    let object = shard.named(fresh.number);
    if let Some(objects) = &mut after.objects {
        objects.stdin = Some(object);
    }
    after.stdin.clear();
    let input = api.new_input(id, row.input, &before, &after)?;
    let change = Change {
        input: Some(input),
        ..Change::default()
    };
    let (name, discards) = (fresh.name, fresh.keep());
    let asked = api.ask(Command::Update { task: id, change }).await;
    if let (Err(error), Some(discards)) = (&asked, discards)
        && error.is_certain()
    {
        discards.add(Discard::Object(name));
    }
    asked?;
    Ok(object_info(&object))
}

fn too_large(max: u64) -> ApiError {
    let detail = format!("the object is larger than {max} bytes, the limit MANAGER_OBJECT_MAX");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}
