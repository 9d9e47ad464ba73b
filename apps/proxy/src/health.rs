//! `/health`, as upstream's proxy answers it.

use std::net::SocketAddr;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

/// Listens; the future answers for as long as it is polled.
pub(crate) async fn listen(
    address: SocketAddr,
) -> std::io::Result<(SocketAddr, impl Future<Output = ()> + Send)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let health = || async { Json(json!({"status": "ok", "service": "proxy"})) };
    let router = Router::new().route("/health", get(health));
    let serve = async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(error = %error, "/health is gone");
        }
    };
    Ok((address, serve))
}
