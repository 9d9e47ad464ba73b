//! Turns a request into a task.

use axum::http::StatusCode;
use propeller_api::{Task, TaskRequest};
use propeller_envelope::{Context, seal};
use propeller_model::task::State as TaskState;
use propeller_model::{TaskId, Trace};
use propeller_wire::message::Input;
use tokio::sync::OwnedSemaphorePermit;

use super::request::{
    change_input, digest, key_of_image, metadata as labels_json, name, pinned, priority,
};
use super::view::Detail;
use super::{Api, ApiError};
use crate::clock::now_ms;
use crate::dispatch::NewModule;
use crate::store::Blob;
use crate::store::task::Task as TaskRow;

const PRIORITY_DEFAULT: u8 = 50;

impl Api {
    /// An input, as it rests.
    pub(super) fn seal_input(&self, id: TaskId, input: &Input) -> Result<Blob, ApiError> {
        let context = Context::Input {
            tenant: &self.shared.tenant,
            task: *id.0.as_bytes(),
        };
        let sealed = seal(&self.keys(), &context, &input.to_bytes())
            .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        Ok(self.shared.reader.blobs().keep(sealed)?)
    }
}

/// A text that is more than upstream's zero value.
pub(super) fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// The module that a request gives to a task, if it gives one.
pub(super) async fn module_of(
    api: &Api,
    request: &TaskRequest,
    slot: Option<OwnedSemaphorePermit>,
) -> Result<Option<NewModule>, ApiError> {
    let ways = (
        given(&request.file),
        given(&request.module),
        given(&request.image_url),
    );
    let key = key_of_image(request)?;
    if key.is_some() && ways.2.is_none() {
        return Err(ApiError::invalid(
            "encrypted: the module of an encrypted task is in an image: set image_url with it",
        ));
    }
    match ways {
        (Some(file), None, None) => Ok(Some(api.module_base64(file, slot).await?)),
        (None, Some(known), None) => {
            api.unsigned("module: an uploaded module")?;
            Ok(Some(NewModule::Known(digest(known)?)))
        }
        (None, None, Some(image)) => Ok(Some(api.image_or_file(image, key).await?)),
        (None, None, None) => Ok(None),
        _ => Err(ApiError::invalid(
            "set one of file, module and image_url: a task has one module",
        )),
    }
}

/// A row for a task that nobody has yet.
pub(super) fn new_task(
    api: &Api,
    id: TaskId,
    trace: Option<Trace>,
    request: &TaskRequest,
) -> Result<TaskRow, ApiError> {
    let task_name = name(request.name.as_deref().unwrap_or_default())?;
    let mut input = Input::default();
    change_input(&mut input, request, &api.shared.objects)?;
    let now = now_ms();
    Ok(TaskRow {
        id,
        app_name: match request.file_name.as_deref() {
            Some(file) if !file.is_empty() => name(file)?,
            _ => task_name.clone(),
        },
        name: task_name,
        priority: match request.priority {
            // Upstream takes 0 for "not set".
            None | Some(0) => PRIORITY_DEFAULT,
            Some(number) => priority(number)?,
        },
        pinned: pinned(request.proplet_id.as_deref().unwrap_or_default())?,
        metadata: request.metadata.as_ref().map(labels_json).transpose()?,
        module: None,
        image: None,
        daemon: input.daemon,
        input: Some(api.seal_input(id, &input)?),
        stored: api.shared.objects.needs_store(&input),
        state: TaskState::NEW,
        last_proplet: None,
        excluded: Vec::new(),
        protection: String::new(),
        error: String::new(),
        trace: trace.unwrap_or_else(|| Trace::of(id)),
        created_ms: now,
        updated_ms: now,
        started_ms: None,
        finished_ms: None,
    })
}

/// What the client sees of a task that was just created: what it sent, without another read.
pub(super) fn created(api: &Api, row: TaskRow, started: bool) -> Result<Task, ApiError> {
    let mut task = api
        .renderer()
        .render(&api.shared.reader, row, Detail::Brief)?;
    if started {
        task.state = propeller_api::TaskState::Scheduled as u8;
        task.start_time.clone_from(&task.created_at);
    }
    Ok(task)
}
