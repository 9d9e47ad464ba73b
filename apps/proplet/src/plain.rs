//! Plain compatibility mode: a proplet for upstream's manager, in upstream's JSON.
//!
//! Nothing here is sealed, acknowledged or fenced by anything but the id that the manager chose,
//! because upstream has nothing of the kind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::BASE64;
use propeller_model::{Digest, PropletId};
use propeller_sandbox::{ModuleKey, Runtime};
use propeller_wire::Channel;
use propeller_wire::link::{Incoming, Link, Outgoing};
use propeller_wire::message::{About, Input, Output};
use propeller_wire::upstream::{self, Alive, Chunk, Create, Fetch, Metadata, Results, Start, Stop};
use serde_bytes::ByteBuf;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use crate::daemons::Daemons;
use crate::judged::judge;
use crate::limits::Ceilings;
use crate::plain_fetch::{Outcome, PlainFetches};
use crate::work::{job, run};

/// A proplet that speaks upstream's JSON.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) id: PropletId,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) ceilings: Ceilings,
    pub(crate) daemons: Daemons,
    pub(crate) about: About,
    pub(crate) slots: u32,
    pub(crate) heartbeat: Duration,
    pub(crate) link: Link,
    pub(crate) running: HashMap<String, AbortHandle>,
    pub(crate) tasks: JoinSet<Results>,
    pub(crate) fetches: PlainFetches,
}

/// How often late chunks are looked at.
const TICK: Duration = Duration::from_secs(1);

impl Plain {
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut beat = tokio::time::interval(self.heartbeat);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Once: upstream takes an announcement for a new process.
        let mut announced = false;
        loop {
            tokio::select! {
                incoming = self.link.incoming.recv() => match incoming {
                    Some(Incoming::Up) if announced => self.alive(),
                    Some(Incoming::Up) => {
                        announced = true;
                        self.announce();
                    }
                    Some(Incoming::Down) => {}
                    Some(Incoming::Frame { channel, bytes }) => self.frame(&channel, &bytes),
                    None => return,
                },
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(results) = ended {
                        self.ended(&results);
                    }
                }
                _ = beat.tick() => self.alive(),
                _ = tick.tick() => {
                    for outcome in self.fetches.tick(Instant::now()) {
                        self.fetched(outcome);
                    }
                }
                _ = &mut stop => return,
            }
        }
    }

    /// Discovery, and a beat at once: upstream's manager wants two signs of life.
    fn announce(&self) {
        let About {
            description,
            tags,
            location,
            os,
            hostname,
            cpu_arch,
            total_memory_bytes,
            proplet_version,
            wasm_runtime,
        } = self.about.clone();
        let create = Create {
            proplet_id: self.id.to_string(),
            namespace: "default".to_owned(),
            metadata: Metadata {
                description,
                tags,
                location,
                ip: String::new(),
                environment: "binary".to_owned(),
                os,
                hostname,
                cpu_arch,
                total_memory_bytes,
                proplet_version,
                wasm_runtime,
            },
        };
        self.send(Channel::Create, upstream::write(&create));
        self.alive();
    }

    fn alive(&self) {
        let alive = Alive {
            proplet_id: self.id.to_string(),
            status: "alive".to_owned(),
            namespace: "default".to_owned(),
        };
        self.send(Channel::Alive, upstream::write(&alive));
    }

    fn frame(&mut self, channel: &Channel, bytes: &[u8]) {
        match channel {
            Channel::Start => match upstream::read::<Start>(bytes) {
                Ok(start) => self.start(start),
                Err(error) => warn!(error = %error, "start message dropped"),
            },
            Channel::Stop => match upstream::read::<Stop>(bytes) {
                Ok(stop) => self.stop(&stop),
                Err(error) => warn!(error = %error, "stop message dropped"),
            },
            // What others have asked for comes by as well.
            Channel::Serve => {
                let chunk = upstream::read::<Chunk>(bytes).ok();
                let outcome = chunk.and_then(|chunk| self.fetches.take(&chunk, Instant::now()));
                if let Some(outcome) = outcome {
                    self.fetched(outcome);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, start: Start) {
        let for_another = start
            .proplet_id
            .as_deref()
            .is_some_and(|id| !id.is_empty() && id != self.id.as_str());
        let known = self.running.contains_key(&start.id) || self.fetches.waits(&start.id);
        if (for_another && !start.broadcast) || known {
            return;
        }
        info!(id = %start.id, app_name = %start.name, "Received start command");
        let id = start.id.clone();
        if let Err(why) = self.begin(start) {
            self.results(&failed(&self.id, &id, why));
        }
    }

    /// Runs a start whose module is in it, or asks for that.
    fn begin(&mut self, start: Start) -> Result<(), String> {
        if self.running.len() + self.fetches.waiting() >= self.slots as usize {
            return Err("all slots of the proplet are taken".to_owned());
        }
        let start = start.supported().map_err(|error| error.to_string())?;
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match (set(&start.file), set(&start.image_url)) {
            (Some(file), _) => {
                let wasm = BASE64.decode(file.as_bytes());
                let wasm = wasm.map_err(|_| "the file is not standard base64")?;
                self.spawn(start, Bytes::from(wasm))
            }
            (None, Some(image)) => {
                if let Some(outcome) = self.fetches.begin(image, start, Instant::now()) {
                    self.fetched(outcome);
                }
                Ok(())
            }
            (None, None) => Err("the start message has neither file nor image_url".to_owned()),
        }
    }

    /// What has come of a fetch.
    fn fetched(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ask(app_name) => {
                self.send(Channel::Ask, upstream::write(&Fetch { app_name }));
            }
            Outcome::Here(wasm, starts) => {
                for start in starts {
                    let id = start.id.clone();
                    if let Err(why) = self.spawn(start, wasm.clone()) {
                        self.results(&failed(&self.id, &id, why));
                    }
                }
            }
            Outcome::Never(why, starts) => {
                for start in starts {
                    self.results(&failed(&self.id, &start.id, why.clone()));
                }
            }
        }
    }

    fn spawn(&mut self, start: Start, wasm: Bytes) -> Result<(), String> {
        let id = start.id.clone();
        let task = self.prepare(start, wasm)?;
        let handle = self.tasks.spawn(task);
        self.running.insert(id, handle);
        Ok(())
    }

    /// The run of a start message, if it can be run.
    fn prepare(
        &self,
        start: Start,
        wasm: Bytes,
    ) -> Result<impl Future<Output = Results> + Send + use<>, String> {
        let hash = digest::digest(&digest::SHA256, &wasm);
        let key = ModuleKey {
            tenant: "plain".to_owned(),
            digest: Digest(hash.as_ref().try_into().map_err(|_| "no digest")?),
        };
        let place = self.daemons.place(start.daemon);
        let place = place.map_err(|none| none.to_string())?;
        let input = Input {
            invoke: invoke_flag(start.cli_args.as_deref().unwrap_or_default())?,
            task_name: start.name.clone(),
            args: start.inputs.unwrap_or_default(),
            env: start.env.unwrap_or_default().into_iter().collect(),
            stdin: ByteBuf::new(),
            limits: propeller_wire::message::AskedLimits::default(),
            daemon: start.daemon,
            ..Input::default()
        };
        let job = job(&self.ceilings, key, wasm, &start.name, input)
            .map_err(|excess| excess.to_string())?;
        let runtime = Arc::clone(&self.runtime);
        let proplet_id = self.id.to_string();
        Ok(async move {
            let _place = place;
            let output = judge(run(runtime.as_ref(), job).await).output;
            Results {
                task_id: start.id,
                proplet_id,
                results: text(&output).into(),
                error: output.error,
            }
        })
    }

    fn stop(&mut self, stop: &Stop) {
        let for_another = stop
            .proplet_id
            .as_deref()
            .is_some_and(|id| !id.is_empty() && id != self.id.as_str());
        if for_another && !stop.broadcast {
            return;
        }
        if let Some(handle) = self.running.remove(&stop.id) {
            handle.abort();
            info!(id = %stop.id, "stopped app");
        } else if self.fetches.stop(&stop.id) {
            info!(id = %stop.id, "stopped app");
        }
    }

    fn ended(&mut self, results: &Results) {
        if self.running.remove(&results.task_id).is_some() {
            info!(id = %results.task_id, "Finished running app");
            self.results(results);
        }
    }

    fn results(&self, results: &Results) {
        self.send(Channel::Results, upstream::write(results));
    }

    fn send(&self, channel: Channel, bytes: Vec<u8>) {
        let frame = Outgoing {
            channel,
            bytes: Bytes::from(bytes),
        };
        if self.link.outgoing.try_send(frame).is_err() {
            warn!("outgoing queue full, message dropped");
        }
    }
}

/// What upstream's results carry: the value of a function, else the output of a command.
fn text(output: &Output) -> String {
    match &output.result {
        Some(result) => result.clone(),
        None => String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

fn failed(proplet: &PropletId, id: &str, why: String) -> Results {
    warn!(id, error = %why, "app refused");
    Results {
        task_id: id.to_owned(),
        proplet_id: proplet.to_string(),
        results: String::new().into(),
        error: Some(why),
    }
}

/// `cli_args` is a closed list: it is never passed on to anything.
fn invoke_flag(args: &[String]) -> Result<Option<String>, String> {
    match args {
        [] => Ok(None),
        [flag, name] if flag == "--invoke" => Ok(Some(name.clone())),
        [first, ..] => Err(format!("not supported by this version: cli_args {first}")),
    }
}

#[cfg(test)]
mod tests {
    use propeller_sandbox::{Act, Scripted};
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::configured;
    use crate::vitals::about;

    /// A proplet with room for one daemon, and what it says.
    fn plain() -> (Plain, mpsc::Receiver<Outgoing>) {
        let config = configured(&[("plaintext", "true"), ("max_daemons", "1")]);
        let config = config.expect("it is a choice");
        let (outgoing, said) = mpsc::channel(8);
        let (_, incoming) = mpsc::channel(1);
        let plain = Plain {
            id: "proplet".parse().expect("it is a name"),
            runtime: Arc::new(Scripted::new(|_| Act::Hang)),
            ceilings: config.ceilings,
            daemons: Daemons::new(config.ceilings.daemons),
            about: about(&config),
            slots: config.slots,
            heartbeat: config.heartbeat,
            link: Link { outgoing, incoming },
            running: HashMap::new(),
            tasks: JoinSet::new(),
            fetches: PlainFetches::new(config.images.module_bytes_max),
        };
        (plain, said)
    }

    fn start(id: &str, daemon: bool) -> Start {
        let text = format!(r#"{{"id":"{id}","name":"app","file":"AA==","daemon":{daemon}}}"#);
        upstream::read(text.as_bytes()).expect("it is a start")
    }

    #[tokio::test]
    async fn a_plain_proplet_runs_no_more_daemons_than_it_may() {
        let (mut plain, mut said) = plain();
        plain.begin(start("1", true)).expect("there is room");
        let refused = plain.begin(start("2", true)).expect_err("there is none");
        let why = "this proplet runs at most 1 daemons at a time (PROPLET_MAX_DAEMONS)";
        assert_eq!(refused, why);
        plain.begin(start("3", false)).expect("it is no daemon");
        let stop = upstream::read(br#"{"id":"1"}"#).expect("it is a stop");
        plain.stop(&stop);
        // The only one that ends: it lets go of its place.
        assert!(
            plain
                .tasks
                .join_next()
                .await
                .is_some_and(|end| end.is_err())
        );
        plain.begin(start("4", true)).expect("there is room again");
        assert!(said.try_recv().is_err());
    }
}
