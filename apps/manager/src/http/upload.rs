//! Modules that come in: checked, hashed, sealed, and only then given to the dispatcher.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Json;
use axum::extract::multipart::{Multipart, MultipartError, MultipartRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use propeller_api::Task;
use propeller_envelope::{Context, seal};
use propeller_model::Digest;
use propeller_model::task::State as TaskState;
use tokio::sync::OwnedSemaphorePermit;

use super::images::Unsigned;
use super::request::task_id;
use super::tasks::viewed;
use super::view::find;
use super::{Api, ApiError};
use crate::dispatch::{Change, Command, NewModule};
use crate::store::module::{Module, module_find};

/// Modules that are hashed and sealed without leaving the thread: a few microseconds.
const QUICK_LEN_MAX: usize = 16 * 1024;

/// Gives a task its module, as multipart form data with a field `file`.
#[utoipa::path(put, path = "/tasks/{id}/upload", tag = "tasks",
    params(("id" = String, Path, description = "Task id")),
    request_body(content_type = "multipart/form-data", description = "a field `file`"),
    responses((status = 200, body = Task), (status = 400, body = propeller_api::Problem),
        (status = 404, body = propeller_api::Problem), (status = 413, body = propeller_api::Problem)))]
pub(super) async fn upload(
    State(api): State<Api>,
    Path(id): Path<String>,
    multipart: Result<Multipart, MultipartRejection>,
) -> Result<Json<Task>, ApiError> {
    let id = task_id(&id)?;
    let multipart = multipart.map_err(|rejection| {
        let detail = format!(
            "send multipart/form-data with a field `file`: {}",
            rejection.body_text()
        );
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    })?;
    // Before a hundred megabytes are read, sealed and written for nobody.
    let row = api.read(move |reader| find(reader, id)).await?;
    if matches!(
        row.state,
        TaskState::Assigned { .. } | TaskState::Running { .. }
    ) {
        let detail = "the task is under way: stop it before changing its module";
        return Err(ApiError::new(StatusCode::CONFLICT, detail));
    }
    let unsigned = api.unsigned("file: an uploaded module")?;
    let _slot = api.slot().await?;
    let (app_name, wasm) = file(multipart, api.shared.upload_max).await?;
    let module = api.module(wasm, unsigned).await?;
    let change = Change {
        app_name: Some(app_name),
        module: Some(module),
        ..Change::default()
    };
    api.ask(Command::Update { task: id, change }).await?;
    viewed(&api, id).await
}

impl Api {
    /// A module in base64, as upstream's clients send it.
    /// `slot` is the one that its request was read with.
    pub(super) async fn module_base64(
        &self,
        text: &str,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Result<NewModule, ApiError> {
        let unsigned = self.unsigned("file: an uploaded module")?;
        let bytes = BASE64
            .decode(text.as_bytes())
            .map_err(|_| ApiError::invalid("file is not standard base64"))?;
        let _slot = match slot {
            None if bytes.len() > QUICK_LEN_MAX => Some(self.slot().await?),
            slot => slot,
        };
        if bytes.len() as u64 > self.shared.upload_max {
            return Err(too_large(self.shared.upload_max));
        }
        self.module(Bytes::from(bytes), unsigned).await
    }

    /// One of the slots for modules that are read, hashed and sealed.
    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let uploads = Arc::clone(&self.shared.uploads);
        let slot = uploads.acquire_owned().await;
        slot.map_err(|_| ApiError::shutting_down())
    }

    /// Checks, hashes and seals a module, unless the store has it already.
    pub(super) async fn module(&self, wasm: Bytes, _: Unsigned) -> Result<NewModule, ApiError> {
        check(&wasm).map_err(ApiError::invalid)?;
        if wasm.len() <= QUICK_LEN_MAX {
            return self.sealed(&wasm);
        }
        let api = self.clone();
        tokio::task::spawn_blocking(move || api.sealed(&wasm))
            .await
            .map_err(|_| ApiError::internal("sealing a module failed"))?
    }

    fn sealed(&self, wasm: &[u8]) -> Result<NewModule, ApiError> {
        let hash = digest::digest(&digest::SHA256, wasm);
        let digest = Digest(
            hash.as_ref()
                .try_into()
                .expect("a SHA-256 digest is 32 bytes"),
        );
        let shared = &self.shared;
        let known = shared.reader.with(|db| module_find(db, digest))?;
        if known.is_some_and(|module| self.opens(&module)) {
            return Ok(NewModule::Known(digest));
        }
        let context = Context::Module {
            tenant: &shared.tenant,
            digest: digest.0,
        };
        let sealed = seal(&self.keys(), &context, wasm)
            .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let sealed_len = sealed.len() as u64;
        Ok(NewModule::Sealed(Module {
            digest,
            plain_len: wasm.len() as u64,
            sealed: shared.reader.blobs().keep(sealed)?,
            sealed_len,
            excerpt: excerpt(wasm),
        }))
    }
}

impl Api {
    /// Whether a stored module is sealed with the key that seals now: after a rotation, an upload
    /// seals it anew.
    fn opens(&self, module: &Module) -> bool {
        let sealed = self.shared.reader.blobs().read_range(
            &module.sealed,
            0,
            propeller_envelope::HEADER_LEN_SHARED_KEY,
        );
        let key = self.keys().sealing().id();
        sealed.is_ok_and(|header| propeller_envelope::sealed_with(&header) == Some(key))
    }
}

/// The only file of a form, read up to the limit.
async fn file(mut form: Multipart, max: u64) -> Result<(String, Bytes), ApiError> {
    while let Some(mut field) = form.next_field().await.map_err(unreadable)? {
        if field.name() != Some("file") {
            continue;
        }
        let name = field.file_name().unwrap_or("module.wasm").to_owned();
        let name = name
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or_default()
            .to_owned();
        if !name.ends_with(".wasm") {
            return Err(ApiError::invalid(format!(
                "{name}: only .wasm files are accepted"
            )));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = field.chunk().await.map_err(unreadable)? {
            if (bytes.len() + chunk.len()) as u64 > max {
                return Err(too_large(max));
            }
            bytes.extend_from_slice(&chunk);
        }
        return Ok((super::request::name(&name)?, bytes.freeze()));
    }
    Err(ApiError::invalid("the form has no field `file`"))
}

/// Refuses what cannot be a module before anything is sealed, sent or run. The proplet validates
/// the rest.
pub(super) fn check(wasm: &[u8]) -> Result<(), &'static str> {
    const MAGIC: &[u8] = b"\0asm";
    const MODULE: &[u8] = &[1, 0, 0, 0];
    const COMPONENT: &[u8] = &[0x0d, 0, 1, 0];
    match wasm.split_at_checked(MAGIC.len()) {
        Some((MAGIC, rest)) if rest.starts_with(MODULE) || rest.starts_with(COMPONENT) => Ok(()),
        Some((MAGIC, _)) => Err("the file is cut off or has an unknown WebAssembly version"),
        _ => Err("not a WebAssembly module: it does not start with `\\0asm`"),
    }
}

/// What upstream shows of `file`: both ends of its base64.
fn excerpt(wasm: &[u8]) -> String {
    /// Enough bytes for ten characters at either end.
    const END: usize = 9;
    if wasm.len() <= 2 * END {
        return BASE64.encode(wasm);
    }
    let head = BASE64.encode(&wasm[..END]);
    // The tail must start at a multiple of three, or its characters would be others.
    let tail_start = (wasm.len() - END) / 3 * 3;
    let tail = BASE64.encode(&wasm[tail_start..]);
    format!("{}<REDACTED>{}", &head[..10], &tail[tail.len() - 10..])
}

fn too_large(max: u64) -> ApiError {
    let detail = format!("the module is larger than {max} bytes, the limit MANAGER_UPLOAD_MAX");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn unreadable(error: MultipartError) -> ApiError {
    ApiError::new(
        error.status(),
        format!("cannot read the form: {}", error.body_text()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_excerpt_is_the_ends_of_the_whole_base64() {
        for len in [19, 41, 100, 101, 102] {
            let wasm: Vec<u8> = (0..len).collect();
            let whole = BASE64.encode(&wasm);
            let expected = format!("{}<REDACTED>{}", &whole[..10], &whole[whole.len() - 10..]);
            assert_eq!(excerpt(&wasm), expected, "{len}");
        }
        assert_eq!(excerpt(b"\0asm"), "AGFzbQ==");
    }

    #[test]
    fn what_is_no_module_is_refused_at_the_door() {
        assert!(check(b"\0asm\x01\0\0\0").is_ok());
        assert!(check(b"\0asm\x0d\0\x01\0").is_ok());
        for bad in [
            &b""[..],
            b"\0as",
            b"\0asm",
            b"\0asm\x02\0\0\0",
            b"MZ......",
            b"\0asm\x0d\0\x02\0",
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
