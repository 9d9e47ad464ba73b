//! A large module: how long its upload takes, its first run, and the runs after that.

use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::BASE64;
use propeller_api::{Results, TaskRequest};
use propeller_sdk::Upload;
use serde::Serialize;

use crate::bed::Bed;
use crate::e2e::Plan;
use crate::error::BenchError;
use crate::round::{round, usage};
use crate::samples::Samples;

/// `examples/guests/thumbnail`: an image library, compiled.
const THUMBNAIL: &[u8] = include_bytes!("../../examples/guests/thumbnail.wasm");
/// What it makes a thumbnail of.
const PHOTO: &[u8] = include_bytes!("../../examples/guests/testdata/photo.jpg");
/// How every PNG begins, in base64.
const PNG_HEAD: &str = "iVBORw0KGgo";

/// Medians over modules that differ in a few bytes, so that none is cached before its first run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Module {
    pub(crate) bytes: usize,
    pub(crate) modules: usize,
    pub(crate) cached_runs: usize,
    /// `PUT /tasks/{id}/upload`, until it is on the disk.
    pub(crate) upload_ms: Option<f64>,
    /// From the request to the result, the first time.
    pub(crate) cold_ms: Option<f64>,
    /// Fetching and opening in the proplet, the first time.
    pub(crate) cold_prepare_ms: Option<f64>,
    /// Compiling, the first time.
    pub(crate) cold_compile_ms: Option<f64>,
    /// From the request to the result, later.
    pub(crate) cached_ms: Option<f64>,
    /// Running, later.
    pub(crate) cached_run_ms: Option<f64>,
}

/// Measures on one proplet, which stays.
pub(crate) async fn measure(bed: &Bed, plan: &Plan) -> Result<Module, BenchError> {
    let mut connection = bed.connect().await?;
    let (mut uploads, mut colds, mut cacheds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cold_costs, mut cached_costs) = (Vec::new(), Vec::new());
    for number in 0..plan.modules {
        let (took, module) = upload(bed, &request(None), variant(number)).await?;
        uploads.push(took);
        let request = request(Some(module));
        let cold = round(&mut connection, &request, is_png).await?;
        colds.push(cold.total());
        cold_costs.push(usage(&mut connection, &cold.id).await?);
        for _ in 0..plan.cached_runs {
            let cached = round(&mut connection, &request, is_png).await?;
            cacheds.push(cached.total());
            cached_costs.push(usage(&mut connection, &cached.id).await?);
        }
    }
    let median = |took: &[Duration]| took.iter().copied().collect::<Samples>().median_ms();
    let micros = |took: Vec<u64>| {
        let durations = took.into_iter().map(Duration::from_micros);
        durations.collect::<Samples>().median_ms()
    };
    Ok(Module {
        bytes: THUMBNAIL.len(),
        modules: uploads.len(),
        cached_runs: cacheds.len(),
        upload_ms: median(&uploads),
        cold_ms: median(&colds),
        cold_prepare_ms: micros(cold_costs.iter().map(|cost| cost.prepare_us).collect()),
        cold_compile_ms: micros(cold_costs.iter().map(|cost| cost.compile_us).collect()),
        cached_ms: median(&cacheds),
        cached_run_ms: micros(cached_costs.iter().map(|cost| cost.run_us).collect()),
    })
}

fn request(module: Option<String>) -> TaskRequest {
    TaskRequest {
        name: Some("thumbnail".to_owned()),
        stdin: Some(BASE64.encode(PHOTO)),
        module,
        ..TaskRequest::default()
    }
}

fn is_png(results: &Results) -> bool {
    results.exit_code == Some(0) && results.stdout_base64.starts_with(PNG_HEAD)
}

/// Uploads a module, timed, into a task that nobody starts. Returns its digest.
pub(crate) async fn upload(
    bed: &Bed,
    request: &TaskRequest,
    wasm: Vec<u8>,
) -> Result<(Duration, String), BenchError> {
    let id = bed.client.task_create(request, false).await?;
    let file = Upload::from_bytes("module.wasm", Bytes::from(wasm));
    let begun = Instant::now();
    let task = bed.client.task_upload(&id.id, file).await?;
    let took = begun.elapsed();
    Ok((took, task.into_value().module))
}

/// The module with one more custom section, which every runtime ignores: same work, other digest.
fn variant(number: usize) -> Vec<u8> {
    let mut wasm = THUMBNAIL.to_vec();
    wasm.extend(custom_section(&number.to_le_bytes()));
    wasm
}

/// A custom section named `bench` (WebAssembly core specification, 5.5.3).
pub(crate) fn custom_section(content: &[u8]) -> Vec<u8> {
    const ID: u8 = 0;
    const NAME: &[u8] = b"\x05bench";
    let mut section = vec![ID];
    section.extend(leb128(NAME.len() + content.len()));
    section.extend_from_slice(NAME);
    section.extend_from_slice(content);
    section
}

/// An unsigned number (5.2.2).
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("7 bits fit");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_section_says_how_long_it_is() {
        assert_eq!(custom_section(&[7, 8]), b"\0\x08\x05bench\x07\x08");
        assert!(custom_section(&[0; 200]).starts_with(b"\0\xce\x01\x05bench"));
    }

    #[test]
    fn variants_differ() {
        assert_ne!(variant(1), variant(2));
        assert!(variant(1).starts_with(THUMBNAIL));
    }
}
