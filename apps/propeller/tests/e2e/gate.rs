//! What is slow, without a clock: a forwarder that holds a request for as long as its test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a test waits for a request, or for its sender to go away: longer than any client of ours
/// waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to requests.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Pass,
    /// One with this text in it waits where it is, and so does whatever follows on its connection.
    Hold(&'static str),
    /// The connections of those that were held are closed; all others pass.
    Cut,
}

/// How many requests came to what so far.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    held: usize,
    /// Of these, those whose sender went away.
    left: usize,
}

#[derive(Debug)]
struct Shared {
    rule: watch::Sender<Rule>,
    counts: watch::Sender<Counts>,
    target: watch::Sender<SocketAddr>,
}

/// A port of loopback in front of another one.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

impl Gate {
    /// One that lets everything pass to `target`.
    pub(crate) async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            rule: watch::Sender::new(Rule::Pass),
            counts: watch::Sender::new(Counts::default()),
            target: watch::Sender::new(target),
        });
        let mut serving = JoinSet::new();
        let serve = Arc::clone(&shared);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let shared = Arc::clone(&serve);
                connections.spawn(async move { shared.forward(connection).await });
            }
        });
        Self {
            address,
            shared,
            _serving: serving,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Holds requests with this text in them from now on.
    pub(crate) fn hold(&self, text: &'static str) {
        self.shared.rule.send_replace(Rule::Hold(text));
    }

    /// Lets everything pass, also what is held.
    pub(crate) fn open(&self) {
        self.shared.rule.send_replace(Rule::Pass);
    }

    /// Goes away from whoever is held, and lets everything else pass.
    pub(crate) fn cut(&self) {
        self.shared.rule.send_replace(Rule::Cut);
    }

    /// Leads new connections somewhere else.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.shared.target.send_replace(target);
    }

    /// Waits until so many requests have been held, since the gate was made.
    pub(crate) async fn held(&self, requests: usize) {
        self.counted("are held", |counts| counts.held >= requests)
            .await;
    }

    /// Waits until so many of those who sent them have gone away.
    pub(crate) async fn left(&self, requests: usize) {
        self.counted("are given up", |counts| counts.left >= requests)
            .await;
    }

    async fn counted(&self, what: &str, enough: impl Fn(&Counts) -> bool) {
        let mut counts = self.shared.counts.subscribe();
        let counted = tokio::time::timeout(PATIENCE, counts.wait_for(enough)).await;
        assert!(
            counted.is_ok(),
            "requests {what}: {:?}",
            self.shared.counts.borrow()
        );
    }
}

impl Shared {
    async fn forward(&self, from: TcpStream) {
        let target = *self.target.borrow();
        let Ok(to) = TcpStream::connect(target).await else {
            return;
        };
        let (from_read, mut from_write) = from.into_split();
        let (mut to_read, to_write) = to.into_split();
        tokio::select! {
            () = self.ask(from_read, to_write) => {}
            _ = tokio::io::copy(&mut to_read, &mut from_write) => {}
        }
    }

    /// Forwards what a client asks, and holds what is to be held.
    async fn ask(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 64 * 1024];
        // The end of what has passed, too short for a whole text: texts may come in two pieces.
        let mut seen: Vec<u8> = Vec::new();
        while let Ok(len @ 1..) = from.read(&mut buffer).await {
            let rule = self.rule.borrow().clone();
            match rule {
                Rule::Hold(text) => {
                    seen.extend_from_slice(&buffer[..len]);
                    if holds(&seen, text) {
                        seen.clear();
                        if !self.wait(&mut from).await {
                            return;
                        }
                    }
                    seen.drain(..seen.len().saturating_sub(text.len() - 1));
                }
                Rule::Pass | Rule::Cut => seen.clear(),
            }
            if to.write_all(&buffer[..len]).await.is_err() {
                return;
            }
        }
    }

    /// Waits until what is held may go on; false if it may not, or nobody waits for it any more.
    async fn wait(&self, from: &mut OwnedReadHalf) -> bool {
        // Before it is counted, so that nothing the test does about it goes unseen.
        let mut rule = self.rule.subscribe();
        let mut more = [0];
        self.counts.send_modify(|counts| counts.held += 1);
        tokio::select! {
            rule = rule.wait_for(|rule| !matches!(rule, Rule::Hold(_))) => {
                matches!(rule.as_deref(), Ok(Rule::Pass))
            }
            // Nobody says more before he is answered.
            _ = from.peek(&mut more) => {
                self.counts.send_modify(|counts| counts.left += 1);
                false
            }
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    let mut places = bytes.windows(text.len());
    places.any(|place| place == text.as_bytes())
}
