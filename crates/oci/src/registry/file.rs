//! Fetching a file that is in no registry: by its address, as whoever names it wants it.

use reqwest::Url;
use reqwest::header::LOCATION;

use super::body::{authority, network, read_at_most};
use super::exchange::{REDIRECTS_MAX, is_redirect};
use super::{Registry, RegistryError, Stage};
use crate::excerpt::excerpt;

impl Registry {
    /// Fetches the file at `address`, which has at most `limit` bytes. Nobody's credentials are sent,
    /// and what was asked for over TLS does not come without it.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub async fn file(&self, address: &str, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let stage = Stage::Blob;
        let invalid = || RegistryError::Address {
            text: excerpt(address),
        };
        let mut url = Url::parse(address).map_err(|_| invalid())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid());
        }
        for _ in 0..=REDIRECTS_MAX {
            let host = authority(&url);
            let answer = self.http(stage)?.get(url.clone()).send().await;
            let answer = answer.map_err(|source| network(source, stage, &host))?;
            let status = answer.status();
            if status.is_success() {
                return read_at_most(answer, limit, self.options.pace, stage, &host).await;
            }
            if !is_redirect(status) {
                return Err(RegistryError::Status {
                    stage,
                    host,
                    status: status.as_u16(),
                    because: String::new(),
                });
            }
            let to = answer
                .headers()
                .get(LOCATION)
                .and_then(|to| to.to_str().ok());
            let to = to.and_then(|to| url.join(to).ok());
            let secure = url.scheme() == "https";
            match to.filter(|to| to.scheme() == "https" || (!secure && to.scheme() == "http")) {
                Some(to) => url = to,
                None => {
                    let to = "nowhere, or to where there is no TLS".to_owned();
                    return Err(RegistryError::Redirect { host, to });
                }
            }
        }
        Err(RegistryError::Redirect {
            host: authority(&url),
            to: format!("on more than {REDIRECTS_MAX} times"),
        })
    }
}
