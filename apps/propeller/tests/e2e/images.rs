//! Tasks whose module is in an image: named once, pinned, fetched by the proplet, and checked there.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use propeller_api::TaskRequest;
use propeller_model::Digest;
use propeller_oci::artifact::{Built, Form, Interfaces, build, push};
use propeller_oci::crypt::PublicKey;
use propeller_oci::registry::silently;
use propeller_oci::{Reference, Registry, RegistryOptions};
use propeller_sdk::ClientError;

use crate::support::{World, client, ready, run, skipped, state, until, wat};

/// Debian's registry, and a client to push with.
pub(crate) struct Place {
    server: Child,
    pub(crate) address: String,
    pub(crate) registry: Registry,
    /// What it says of every request.
    log: Arc<Mutex<Vec<String>>>,
}

impl Place {
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = std::env::split_paths(&path).chain(["/usr/bin".into()]);
        let Some(program) = folders
            .find_map(|folder| Some(folder.join("docker-registry")).filter(|path| path.is_file()))
        else {
            skipped("no docker-registry: run the tests with `cargo xtask test`");
            return None;
        };
        let config = folder.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n\
             storage: {{filesystem: {{rootdirectory: {}/registry}}}}\n",
            folder.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut server = Command::new(program)
            .arg("serve")
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest[..rest.find(['"', ','])?].to_owned())
        });
        // It must not stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let log = Arc::new(Mutex::new(Vec::new()));
        let stdout = BufReader::new(server.stdout.take().unwrap());
        let noted = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                noted.lock().unwrap().push(line);
            }
        });
        Some(Self {
            server,
            address: address.unwrap(),
            registry: Registry::new(RegistryOptions::default()).unwrap(),
            log,
        })
    }

    /// How often a blob has been fetched.
    pub(crate) fn fetched(&self, blob: Digest) -> usize {
        let asked = format!("/blobs/{blob}");
        let log = self.log.lock().unwrap();
        let gets = log
            .iter()
            .filter(|line| line.contains("GET ") && line.contains(&asked));
        gets.count()
    }

    pub(crate) fn image(&self, rest: &str) -> String {
        format!("http://{}/{rest}", self.address)
    }

    pub(crate) async fn push(&self, rest: &str, built: &Built) -> Reference {
        let reference: Reference = self.image(rest).parse().unwrap();
        push(&self.registry, &reference, built, silently())
            .await
            .unwrap();
        reference
    }

    pub(crate) fn stop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A module whose function gives this number.
pub(crate) fn number(number: u32) -> Vec<u8> {
    wat(&format!(
        r#"(module (func (export "number") (result i32) (i32.const {number})))"#
    ))
}

pub(crate) fn image(number_: u32, form: Form, recipients: &[PublicKey]) -> Built {
    build(&number(number_), form, &Interfaces::default(), recipients).unwrap()
}

pub(crate) fn request(image: &str) -> TaskRequest {
    TaskRequest {
        name: Some("number".to_owned()),
        image_url: Some(image.to_owned()),
        ..TaskRequest::default()
    }
}

/// A key pair in two files.
pub(crate) fn keys(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let key = rcgen::KeyPair::generate().unwrap();
    let (private, public) = (
        folder.join(format!("{name}.pem")),
        folder.join(format!("{name}.pub")),
    );
    std::fs::write(&private, key.serialize_pem()).unwrap();
    std::fs::write(&public, key.public_key_pem()).unwrap();
    (private, public)
}

/// The files below a folder that have these bytes in them.
pub(crate) fn holding(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, bytes));
        } else if let Ok(content) = std::fs::read(&path)
            && content.windows(bytes.len()).any(|window| window == bytes)
        {
            found.push(path);
        }
    }
    found
}

pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    answer.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_the_image_that_its_tag_was_when_it_was_named() {
    let world = World::new().await;
    let Some(mut place) = Place::start(&world.scratch.path("")) else {
        return;
    };
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let named = place.push("number:1", &image(1, Form::Image, &[])).await;
    let by_tag = request(&place.image("number:1"));
    let task = client.task_create(&by_tag, false).await.unwrap();
    let pinned = named.pinned(image(1, Form::Image, &[]).digest).to_string();
    assert_eq!(
        (task.image_url.as_str(), task.module.as_str()),
        (pinned.as_str(), "")
    );

    // The tag moves on; the task does not.
    place.push("number:1", &image(2, Form::Artifact, &[])).await;
    client.task_start(&task.id).await.unwrap();
    let ended = crate::support::wait(&client, &task.id).await;
    assert_eq!(ended.results, "1", "{ended:?}");
    assert_eq!(ended.protection, "shared-key");
    assert_eq!(
        run(&client, &request(&place.image("number:1")))
            .await
            .results,
        "2"
    );

    // What is in memory needs no registry any more, if one has its digest.
    place.stop();
    assert_eq!(run(&client, &request(&pinned)).await.results, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_of_one_image_share_one_pull_whatever_its_tag() {
    let world = World::new().await;
    let Some(place) = Place::start(&world.scratch.path("")) else {
        return;
    };
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = Arc::new(client(manager.url()));
    ready(&client, 1).await;
    let built = image(7, Form::Image, &[]);
    let mut tasks = tokio::task::JoinSet::new();
    for tag in ["number:7", "number:latest"] {
        place.push(tag, &built).await;
    }
    for tag in ["number:7", "number:latest"].repeat(4) {
        let (client, request) = (Arc::clone(&client), request(&place.image(tag)));
        tasks.spawn(async move { run(&client, &request).await.results });
    }
    assert_eq!(tasks.join_all().await, vec!["7"; 8]);
    let layer = propeller_oci::sha256(&built.layer);
    until("the registry has told of it", async || {
        place.fetched(layer) > 0
    })
    .await;
    assert_eq!(place.fetched(layer), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_image_runs_where_its_key_is_and_nowhere_else() {
    let world = World::new().await;
    let folder = world.scratch.path("");
    let Some(place) = Place::start(&folder) else {
        return;
    };
    let (private, public) = keys(&folder, "proplet");
    let manager = world.manager().await;
    let _without = world.proplet("without");
    let _with = world
        .part("with")
        .with("liveliness_interval", "300ms")
        .with("image_keys", private.display().to_string())
        .proplet("with")
        .unwrap();
    let client = client(manager.url());
    ready(&client, 2).await;
    let key = PublicKey::from_bytes(&std::fs::read(public).unwrap()).unwrap();
    let built = image(42, Form::Artifact, &[key]);
    place.push("secret:1", &built).await;
    let on = |proplet: &str| TaskRequest {
        proplet_id: Some(proplet.to_owned()),
        ..request(&place.image("secret:1"))
    };
    let task = run(&client, &on("with")).await;
    assert_eq!(
        (task.results, task.protection),
        ("42".into(), "image-key".to_owned())
    );

    let task = run(&client, &on("without")).await;
    assert_eq!(state(&task), "failed");
    let why = "layer 1 cannot be decrypted: no key given opens this layer";
    assert!(task.error.contains(why), "{}", task.error);
    assert!(task.error.contains("--encrypted"), "{}", task.error);
    // The module is nowhere on a disk, neither the registry's nor the proplet's.
    assert_eq!(holding(&folder, &number(42)), Vec::<PathBuf>::new());
    assert!(
        !holding(&folder, &built.layer).is_empty(),
        "the search finds nothing"
    );

    // Somebody else may have it, and then the task runs there.
    assert_eq!(
        run(&client, &request(&place.image("secret:1")))
            .await
            .results,
        "42"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_is_refused_when_it_is_named() {
    let world = World::new().await;
    let Some(place) = Place::start(&world.scratch.path("")) else {
        return;
    };
    let manager = world.manager().await;
    let client = client(manager.url());
    for (named, why) in [
        (place.image("nobody/knows:1"), "name: "),
        (
            "http://127.0.0.1:9/x:1".to_owned(),
            "network: no manifest from 127.0.0.1",
        ),
        (
            "http://127.0.0.1:9/x.wasm".to_owned(),
            "network: no blob from 127.0.0.1",
        ),
        (
            place.image("x:1").replace("http://", ""),
            "; a registry without TLS is named http://127.0.0.1:",
        ),
        (place.image("v2/"), "not a WebAssembly module"),
        (place.image("missing.wasm"), " has no file at this address"),
        ("UPPER".to_owned(), "no repository"),
    ] {
        let said = refused(client.task_create(&request(&named), false).await);
        assert!(said.contains(why), "{named}: {said}");
    }
    // What looks like the address of a file, and may have been meant as an image.
    place
        .push("app:latest", &image(1, Form::Artifact, &[]))
        .await;
    for (named, class) in [("app", "name"), ("v2", "media type")] {
        let said = refused(
            client
                .task_create(&request(&place.image(named)), false)
                .await,
        );
        assert!(said.contains(&format!("image_url: {class}: ")), "{said}");
        let meant = place.image(&format!("{named}:latest"));
        let hint = format!("; if this is an image in a registry, name its tag: {meant}");
        assert!(said.contains(&hint), "{said}");
    }
    let meant = request(&place.image("app:latest"));
    client.task_create(&meant, false).await.unwrap();
    let both = TaskRequest {
        file: Some("AA==".to_owned()),
        ..request("ghcr.io/a/b")
    };
    let said = refused(client.task_create(&both, false).await);
    assert!(said.contains("a task has one module"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_at_an_address_is_fetched_once_by_the_manager() {
    let world = World::new().await;
    let Some(mut place) = Place::start(&world.scratch.path("")) else {
        return;
    };
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    // A registry serves blobs to whoever knows their digest; this one at an address without `:`.
    let built = image(9, Form::Artifact, &[]);
    place.push("number:9", &built).await;
    let digest = propeller_oci::sha256(&built.layer).to_string();
    let address = place.image(&format!("v2/number/blobs/{}", digest.replace(':', "%3A")));
    let task = client.task_create(&request(&address), false).await.unwrap();
    assert_eq!(
        (task.module.as_str(), task.image_url.as_str()),
        (digest.as_str(), "")
    );
    place.stop();
    client.task_start(&task.id).await.unwrap();
    assert_eq!(crate::support::wait(&client, &task.id).await.results, "9");
}
