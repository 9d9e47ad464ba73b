//! Everything about proplets.

use std::time::Duration;

use propeller_api::{History, Proplet, PropletMetricsPage, PropletPage};
use reqwest::Method;

use crate::{Client, ClientError, Page, Reply};

/// Which proplets to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropletStatus {
    /// Those that were heard from within a lease.
    Active,
    /// The others.
    Inactive,
}

impl PropletStatus {
    /// The word for it, in the API and for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }
}

impl Client {
    /// A page of proplets: of all, or of those with one status.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn proplet_list(
        &self,
        page: Page,
        status: Option<PropletStatus>,
    ) -> Result<Reply<PropletPage>, ClientError> {
        let mut url = self.url(&["proplets"])?;
        page.add_to(&mut url);
        if let Some(status) = status {
            url.query_pairs_mut().append_pair("status", status.word());
        }
        self.get(url, Duration::ZERO).await
    }

    /// One proplet.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn proplet_view(&self, id: &str) -> Result<Reply<Proplet>, ClientError> {
        self.get(self.url(&["proplets", id])?, Duration::ZERO).await
    }

    /// Forgets a proplet that has no tasks.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn proplet_delete(&self, id: &str) -> Result<(), ClientError> {
        let url = self.url(&["proplets", id])?;
        self.act(self.request(Method::DELETE, url))
            .await?
            .accepted()
            .map(|_| ())
    }

    /// Measurements of a proplet's process, newest first.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn proplet_metrics(
        &self,
        id: &str,
        page: Page,
    ) -> Result<Reply<PropletMetricsPage>, ClientError> {
        let mut url = self.url(&["proplets", id, "metrics"])?;
        page.add_to(&mut url);
        self.get(url, Duration::ZERO).await
    }

    /// When a proplet was heard from, newest first.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn proplet_history(
        &self,
        id: &str,
        page: Page,
    ) -> Result<Reply<History>, ClientError> {
        let mut url = self.url(&["proplets", id, "alive-history"])?;
        page.add_to(&mut url);
        self.get(url, Duration::ZERO).await
    }

    /// What a proplet can do and say, as a Semantic Definition Format document.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn proplet_sdf(&self, id: &str) -> Result<Reply<serde_json::Value>, ClientError> {
        self.get(self.url(&["proplets", id, "sdf"])?, Duration::ZERO)
            .await
    }
}
