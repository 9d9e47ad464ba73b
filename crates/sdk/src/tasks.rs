//! Everything about tasks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use propeller_api::{
    Results, Started, Stopped, Task, TaskMetricsPage, TaskPage, TaskRequest, TaskState,
};
use reqwest::Method;

use crate::{Client, ClientError, Page, Reply, Upload};

/// Longest time that a manager is asked to hold a request. Proxies commonly cut one after 60 s.
const POLL_MAX: Duration = Duration::from_secs(30);

/// Pause before asking again a manager that did not hold the request: upstream's knows no `wait`.
const POLL_PAUSE: Duration = Duration::from_millis(250);

/// How long a waiting client bears a manager that is away: time enough to restart it.
const OUTAGE_MAX: Duration = Duration::from_secs(30);

impl Client {
    /// Creates a task, and starts it in the same step if `start` says so.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer. In the latter case the task may exist.
    pub async fn task_create(
        &self,
        task: &TaskRequest,
        start: bool,
    ) -> Result<Reply<Task>, ClientError> {
        let mut url = self.url(&["tasks"])?;
        if start {
            url.query_pairs_mut().append_pair("start", "true");
        }
        self.act(self.request(Method::POST, url).json(task))
            .await?
            .value()
    }

    /// A page of tasks, newest first: of those that have all the labels in `metadata`.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn task_list(
        &self,
        page: Page,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Reply<TaskPage>, ClientError> {
        let mut url = self.url(&["tasks"])?;
        page.add_to(&mut url);
        if !metadata.is_empty() {
            let filter = serde_json::Value::from_iter(metadata.clone()).to_string();
            url.query_pairs_mut().append_pair("metadata", &filter);
        }
        self.get(url, Duration::ZERO).await
    }

    /// One task, with its attempts.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn task_view(&self, id: &str) -> Result<Reply<Task>, ClientError> {
        self.get(self.url(&["tasks", id])?, Duration::ZERO).await
    }

    /// Changes what `task` mentions and keeps the rest.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn task_update(
        &self,
        id: &str,
        task: &TaskRequest,
    ) -> Result<Reply<Task>, ClientError> {
        let url = self.url(&["tasks", id])?;
        self.act(self.request(Method::PUT, url).json(task))
            .await?
            .value()
    }

    /// Deletes a task.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn task_delete(&self, id: &str) -> Result<(), ClientError> {
        let url = self.url(&["tasks", id])?;
        self.act(self.request(Method::DELETE, url))
            .await?
            .accepted()
            .map(|_| ())
    }

    /// Starts a task.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn task_start(&self, id: &str) -> Result<Reply<Started>, ClientError> {
        let url = self.url(&["tasks", id, "start"])?;
        self.act(self.request(Method::POST, url)).await?.value()
    }

    /// Stops a task.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn task_stop(&self, id: &str) -> Result<Reply<Stopped>, ClientError> {
        let url = self.url(&["tasks", id, "stop"])?;
        self.act(self.request(Method::POST, url)).await?.value()
    }

    /// Gives a task its module.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer, or the module cannot be read to its end.
    pub async fn task_upload(&self, id: &str, file: Upload) -> Result<Reply<Task>, ClientError> {
        let url = self.url(&["tasks", id, "upload"])?;
        let timeout = self.timeout().saturating_add(file.time_max());
        let request = self.request(Method::PUT, url).multipart(file.into_form());
        self.send(request, timeout).await?.value()
    }

    /// What the last run produced, so far as there is any.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn task_results(&self, id: &str) -> Result<Reply<Results>, ClientError> {
        self.get(self.url(&["tasks", id, "results"])?, Duration::ZERO)
            .await
    }

    /// What the attempts at a task cost, newest first.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn task_metrics(
        &self,
        id: &str,
        page: Page,
    ) -> Result<Reply<TaskMetricsPage>, ClientError> {
        let mut url = self.url(&["tasks", id, "metrics"])?;
        page.add_to(&mut url);
        self.get(url, Duration::ZERO).await
    }

    /// The task, as soon as it has ended; without a `timeout`, however long that takes.
    ///
    /// Once the manager has answered, it may be away for a while: it is asked again.
    ///
    /// # Errors
    ///
    /// [`ClientError::StillRunning`] if the task has not ended in time, and whatever
    /// [`Client::task_view`] can say.
    pub async fn task_wait(
        &self,
        id: &str,
        timeout: Option<Duration>,
    ) -> Result<Reply<Task>, ClientError> {
        let begun = Instant::now();
        let mut answered: Option<(Instant, TaskState)> = None;
        loop {
            let asked = Instant::now();
            let left = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
            let hold = left.map_or(POLL_MAX, |left| left.min(POLL_MAX));
            match self.task_poll(id, hold).await {
                Ok((task, state)) if state.is_final() => return Ok(task),
                Ok((_, state)) => answered = Some((Instant::now(), state)),
                Err(error) if is_outage(&error) && answered.is_some_and(is_recent) => {}
                Err(error) => return Err(error),
            }
            if let (Some(waited), Some((_, state))) = (timeout, answered)
                && begun.elapsed() >= waited
            {
                return Err(ClientError::StillRunning {
                    id: id.to_owned(),
                    state,
                    waited,
                });
            }
            let early = hold.saturating_sub(asked.elapsed());
            tokio::time::sleep(early.min(POLL_PAUSE)).await;
        }
    }

    /// The task and its state, at the latest after `hold`, which counts in whole seconds.
    async fn task_poll(
        &self,
        id: &str,
        hold: Duration,
    ) -> Result<(Reply<Task>, TaskState), ClientError> {
        let seconds = hold.as_secs() + u64::from(hold.subsec_nanos() > 0);
        let mut url = self.url(&["tasks", id])?;
        url.query_pairs_mut()
            .append_pair("wait", &seconds.to_string());
        let task: Reply<Task> = self.get(url, Duration::from_secs(seconds)).await?;
        match TaskState::from_number(task.state) {
            Some(state) => Ok((task, state)),
            None => Err(ClientError::Unexpected {
                url: self.address(),
                status: 200,
                why: "it has a task state that this client does not know",
                source: None,
            }),
        }
    }
}

fn is_recent((at, _): (Instant, TaskState)) -> bool {
    at.elapsed() < OUTAGE_MAX
}

/// Whether a manager that is being restarted looks like this.
fn is_outage(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Interrupted { .. } => true,
        ClientError::Refused { status, .. } => matches!(status, 502..=504),
        _ => false,
    }
}
