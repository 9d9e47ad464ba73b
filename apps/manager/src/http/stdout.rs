//! `GET /tasks/{id}/stdout`: an output that is too large for an answer, as the CES object that its
//! proplet has put into the object store.

use std::ops::Range;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use propeller_api::{KeyText, ObjectInfo, Problem, SealedObject};
use propeller_depot::{DepotError, Name, Part};
use propeller_model::TaskId;
use propeller_wire::message::Output;

use super::objects::{Octets, object_info};
use super::range::Asked;
use super::request::task_id;
use super::view::{Ended, Renderer};
use super::{Api, ApiError};
use crate::store::Reader;
use crate::store::task::Task as TaskRow;

/// An output that is in the object store, as it is there: a CES object in one shard, which the `key`
/// in `/tasks/{id}/results` opens.
#[utoipa::path(get, path = "/tasks/{id}/stdout", tag = "tasks",
    params(("id" = String, Path, description = "Task id"),
        ("range" = Option<String>, Header, description = "One range of bytes, `bytes=FIRST-LAST`"),
        ("if-range" = Option<String>, Header, description = "The `ETag` of the object that the range is of")),
    responses(
        (status = 200, body = inline(Octets), content_type = "application/octet-stream", description = "The object; its `ETag` is its digest"),
        (status = 206, body = inline(Octets), content_type = "application/octet-stream", description = "A range of it"),
        (status = 404, body = Problem, description = "The output is not in the object store; it says where it is"),
        (status = 416, body = Problem, description = "The object has no such bytes"),
        (status = 503, body = Problem, description = "Too many objects are being fetched, or the object store failed")))]
pub(super) async fn download_stdout(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = task_id(&id)?;
    let renderer = api.renderer();
    let found = api.read(move |reader| renderer.stdout(reader, id)).await?;
    let (depot, _) = api.shared.objects.store()?;
    let failed = |error: DepotError| match error {
        DepotError::Missing { .. } => ApiError::new(StatusCode::NOT_FOUND, GONE),
        error => ApiError::object_store(&error),
    };
    let len = depot.len(found.name).await.map_err(failed)?;
    let len = len.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, GONE))?;
    let tag = format!("\"{}\"", HEXLOWER.encode(&found.digest));
    let asked = asked(&headers, &tag, len);
    let (status, range) = match &asked {
        Asked::Whole => (StatusCode::OK, 0..len),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range.clone()),
        Asked::Nothing => {
            let detail = format!("the object has {len} bytes, and none in this range");
            let refused = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, detail);
            let has = [(header::CONTENT_RANGE, format!("bytes */{len}"))];
            return Ok((has, refused).into_response());
        }
    };
    let slot = api.shared.downloads.slot().await?;
    let bytes = depot.read(found.name, range.clone()).await;
    let bytes = bytes.map_err(failed)?;
    let body = api.shared.downloads.begin(slot, bytes, &api.shared.metrics);
    let mut said = vec![
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (
            header::CONTENT_LENGTH,
            (range.end - range.start).to_string(),
        ),
        (header::ETAG, tag),
    ];
    said.extend(content_range(&asked, len));
    let mut response = (status, body).into_response();
    for (name, value) in said {
        let value = value.parse().expect("digits, letters and signs");
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

const GONE: &str = "the object is not in the object store any more: somebody removed it there";

/// An output in the store.
struct Found {
    name: Name,
    digest: [u8; 32],
}

impl Renderer {
    /// What a task has printed, if that is in the object store, with the key that opens it.
    pub(super) fn sealed_stdout(
        &self,
        reader: &Reader,
        row: &TaskRow,
        output: &Output,
    ) -> Result<Option<SealedObject>, ApiError> {
        let (Some(object), Some(input)) = (&output.stdout_object, &row.input) else {
            return Ok(None);
        };
        let input = self.input(reader, row.id, input.clone())?;
        let ObjectInfo { digest, length } = object_info(object);
        Ok(input.objects.map(|objects| SealedObject {
            digest,
            length,
            key: KeyText(HEXLOWER.encode(&objects.key.0)),
        }))
    }

    /// The object that a task's standard output is.
    fn stdout(&self, reader: &Reader, id: TaskId) -> Result<Found, ApiError> {
        let none = |detail: &str| ApiError::new(StatusCode::NOT_FOUND, detail);
        let Some(Ended {
            attempt, output, ..
        }) = self.ended(reader, id)?
        else {
            return Err(none(
                "the task has not ended: what it prints meanwhile is in /tasks/{id}/logs",
            ));
        };
        match (attempt, output.stdout_object) {
            (Some((attempt, _)), Some(object)) => Ok(Found {
                name: Name {
                    task: id.0,
                    part: Part::Stdout(attempt.number),
                },
                digest: object.digest,
            }),
            _ => Err(none(
                "what the task printed is not in the object store: it is in /tasks/{id}/results",
            )),
        }
    }
}

/// What is asked for: a range of another object is not looked at (RFC 9110, section 13.1.5).
fn asked(headers: &HeaderMap, tag: &str, len: u64) -> Asked {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let is_of_this = text(header::IF_RANGE).is_none_or(|wanted| wanted == tag);
    let range = text(header::RANGE).filter(|_| is_of_this);
    range.map_or(Asked::Whole, |range| Asked::read(range, len))
}

fn content_range(asked: &Asked, len: u64) -> Option<(HeaderName, String)> {
    let Asked::Part(Range { start, end }) = asked else {
        return None;
    };
    let value = format!("bytes {start}-{}/{len}", end - 1);
    Some((header::CONTENT_RANGE, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_another_object_is_not_looked_at() {
        let headers = |if_range: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, "bytes=1-2".parse().unwrap());
            if let Some(tag) = if_range {
                headers.insert(header::IF_RANGE, tag.parse().unwrap());
            }
            headers
        };
        assert_eq!(asked(&headers(None), "\"a\"", 9), Asked::Part(1..3));
        assert_eq!(
            asked(&headers(Some("\"a\"")), "\"a\"", 9),
            Asked::Part(1..3)
        );
        assert_eq!(asked(&headers(Some("\"b\"")), "\"a\"", 9), Asked::Whole);
        assert_eq!(asked(&HeaderMap::new(), "\"a\"", 9), Asked::Whole);
    }

    #[test]
    fn a_range_is_told_with_its_last_byte() {
        let (_, value) = content_range(&Asked::Part(2..5), 10).unwrap();
        assert_eq!(value, "bytes 2-4/10");
        assert_eq!(content_range(&Asked::Whole, 10), None);
    }
}
