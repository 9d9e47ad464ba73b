//! The REST API: Propeller's paths and JSON, over HTTP/1.1.
//!
//! A handler parses, asks the dispatcher or a reader of the store, and renders. It decides nothing.

mod body;
mod downloads;
mod error;
mod grants;
mod guard;
mod health;
mod images;
mod linger;
mod logs;
mod new_task;
mod objects;
mod proplets;
mod range;
mod request;
mod serve;
mod stdin;
mod stdout;
mod tasks;
mod upload;
mod uploads;
mod view;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use axum::{Router, middleware};
use propeller_envelope::Keyring;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::config::Token;
use crate::dispatch::{Answer, Command, Wake};
use crate::metrics::Metrics;
use crate::store::Reader;

pub use error::ApiError;
pub use images::{Images, PATIENCE};
pub use objects::Keep;
pub use range::Asked;
pub use serve::{Bound, ServeError, Serving};

/// Modules that are read, hashed and sealed at the same time: each is in memory as a whole.
const UPLOADS_MAX: usize = 4;
/// JSON around a module: everything but `file` of a task.
const JSON_LEN_EXTRA: u64 = 2 * 1024 * 1024;

/// Where a standard input goes that is an object.
const STDIN_PATH: &str = "/tasks/{id}/stdin";
/// How long a request for an object waits for another one to end.
const OBJECT_SLOT_WAIT: Duration = Duration::from_secs(10);

/// What handlers work with.
#[derive(Debug, Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wakes: mpsc::Sender<Wake>,
    reader: Reader,
    keys: watch::Receiver<Keyring>,
    tenant: String,
    instance: String,
    token: Option<Token>,
    loopback: bool,
    upload_max: u64,
    uploads: Arc<Semaphore>,
    images: Images,
    objects: Keep,
    object_uploads: uploads::Uploads,
    lingering: linger::Lingering,
    downloads: downloads::Downloads,
    broker_up: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

/// What an [`Api`] is made from.
#[derive(Debug)]
pub struct Parts {
    /// Wakes the dispatcher.
    pub wakes: mpsc::Sender<Wake>,
    /// Reads the store.
    pub reader: Reader,
    /// Seals inputs and modules, opens results.
    pub keys: watch::Receiver<Keyring>,
    /// Whose tasks these are.
    pub tenant: String,
    /// This instance's name.
    pub instance: String,
    /// Bearer token.
    pub token: Option<Token>,
    /// Whether only this machine can connect.
    pub loopback: bool,
    /// Largest module, in bytes.
    pub upload_max: u64,
    /// What images are looked up with.
    pub images: Images,
    /// Where large inputs and outputs lie.
    pub objects: Keep,
    /// Whether the broker is connected.
    pub broker_up: Arc<AtomicBool>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Api {
    /// An API over a running dispatcher.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            wakes,
            reader,
            keys,
            tenant,
            instance,
            token,
            loopback,
            upload_max,
            images,
            objects,
            broker_up,
            metrics,
        } = parts;
        Self {
            shared: Arc::new(Shared {
                wakes,
                reader,
                keys,
                tenant,
                instance,
                token,
                loopback,
                upload_max,
                uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
                images,
                objects,
                object_uploads: uploads::Uploads::default(),
                lingering: linger::Lingering::default(),
                downloads: downloads::Downloads::default(),
                broker_up,
                metrics,
            }),
        }
    }

    /// All routes. Trailing slashes are dealt with by whoever serves them.
    pub fn router(&self) -> Router {
        let json_max = self.shared.upload_max.div_ceil(3) * 4 + JSON_LEN_EXTRA;
        let json_max = usize::try_from(json_max).unwrap_or(usize::MAX);
        Router::new()
            .route("/tasks", get(tasks::list).post(tasks::create))
            .route(
                "/tasks/{id}",
                get(tasks::view).put(tasks::update).delete(tasks::delete),
            )
            .route("/tasks/{id}/upload", put(upload::upload))
            .route(STDIN_PATH, put(stdin::upload_stdin))
            .route("/tasks/{id}/stdout", get(stdout::download_stdout))
            .route("/tasks/{id}/start", post(tasks::start))
            .route("/tasks/{id}/stop", post(tasks::stop))
            .route("/tasks/{id}/results", get(tasks::results))
            .route("/tasks/{id}/logs", get(logs::logs))
            .route("/tasks/{id}/metrics", get(tasks::metrics))
            .route("/proplets", get(proplets::list))
            .route(
                "/proplets/{id}",
                get(proplets::view).delete(proplets::delete),
            )
            .route("/proplets/{id}/metrics", get(proplets::metrics))
            .route("/proplets/{id}/alive-history", get(proplets::alive_history))
            .route("/proplets/{id}/sdf", get(proplets::sdf))
            .route("/health", get(health::health))
            .route("/metrics", get(health::metrics))
            .fallback(error::no_route)
            .method_not_allowed_fallback(error::no_method)
            .layer(DefaultBodyLimit::max(json_max))
            .layer(middleware::from_fn_with_state(self.clone(), guard::guard))
            .with_state(self.clone())
    }

    /// The keys in use.
    fn keys(&self) -> Keyring {
        self.shared.keys.borrow().clone()
    }

    /// Asks the dispatcher.
    async fn ask(&self, command: Command) -> Result<Answer, ApiError> {
        let (reply, answer) = oneshot::channel();
        let wake = Wake::Command(Box::new(command), reply);
        self.shared
            .wakes
            .send(wake)
            .await
            .map_err(|_| ApiError::shutting_down())?;
        let answer = answer.await.map_err(|_| ApiError::shutting_down())?;
        answer.map_err(ApiError::from)
    }

    /// Reads the store, on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let reader = self.shared.reader.clone();
        tokio::task::spawn_blocking(move || read(&reader))
            .await
            .map_err(|_| ApiError::internal("a reader failed"))?
    }
}

/// The OpenAPI document of this API, as it is checked in.
#[must_use]
pub fn openapi() -> String {
    use utoipa::OpenApi;
    #[derive(OpenApi)]
    #[openapi(
        info(
            title = "Propeller manager",
            description = "Accepts WebAssembly tasks, remembers them, gives them to proplets and settles them.",
            license(name = "Apache-2.0")
        ),
        paths(
            tasks::list,
            tasks::create,
            tasks::view,
            tasks::update,
            tasks::delete,
            tasks::start,
            tasks::stop,
            tasks::results,
            logs::logs,
            tasks::metrics,
            upload::upload,
            stdin::upload_stdin,
            stdout::download_stdout,
            proplets::list,
            proplets::view,
            proplets::delete,
            proplets::metrics,
            proplets::alive_history,
            proplets::sdf,
            health::health,
            health::metrics
        ),
        components(schemas(propeller_api::Problem))
    )]
    struct Document;
    let mut json = Document::openapi()
        .to_pretty_json()
        .expect("the document is JSON");
    json.push('\n');
    json
}
