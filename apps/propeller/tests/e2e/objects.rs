//! Large inputs and outputs: sealed by the client, in a store, streamed to the guest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use propeller::demo::tap::Tap;
use propeller::stack::chain;
use propeller_api::TaskState;
use propeller_manager::Manager;
use propeller_proplet::Proplet;
use propeller_sdk::Client;

use crate::support::{World, client, ready, request, run, skipped, state, until, wait, wat};

const MIB: usize = 1024 * 1024;

/// Bytes that are not text, do not repeat and hardly compress.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A guest that writes what it reads.
pub(crate) fn echo() -> Vec<u8> {
    wat(r#"(module
          (import "wasi_snapshot_preview1" "fd_read"
            (func $read (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 2)
          (func (export "_start")
            (block $end
              (loop $more
                (i32.store (i32.const 0) (i32.const 1024))
                (i32.store (i32.const 4) (i32.const 65536))
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (br_if $end (i32.eqz (i32.load (i32.const 8))))
                (i32.store (i32.const 4) (i32.load (i32.const 8)))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
                (br $more)))))"#)
}

/// A manager and a proplet that share a store, and a client of them.
pub(crate) struct Shop {
    pub(crate) world: World,
    pub(crate) manager: Manager,
    pub(crate) proplet: Proplet,
    pub(crate) client: Client,
}

impl Shop {
    /// `None` if this machine cannot isolate guests so.
    async fn open(world: World, isolation: &str) -> Option<Self> {
        let store = world.scratch.path("store");
        fs::create_dir(&store).unwrap();
        let store = store.display().to_string();
        let manager = world.manager_part().with("object_store", store.clone());
        let manager = manager.manager().await.unwrap();
        let proplet = world.part("p1").with("liveliness_interval", "300ms");
        let proplet = proplet
            .with("object_store", store)
            .with("isolation", isolation);
        let proplet = match proplet.proplet("p1").map_err(|error| chain(&error)) {
            Err(why) if why.contains("does not have") => {
                skipped(&why);
                return None;
            }
            proplet => proplet.unwrap(),
        };
        let shop = Self {
            proplet,
            client: client(manager.url()),
            manager,
            world,
        };
        ready(&shop.client, 1).await;
        Some(shop)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.scratch.path(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Runs the program; each `%` stands for the folder of the test.
    async fn propeller(&self, line: &str) -> Output {
        let folder = self.path("").display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_propeller"));
        command.args(
            line.split_whitespace()
                .map(|word| word.replace('%', &folder)),
        );
        command.args(["-m", self.manager.url()]);
        command.stdin(Stdio::null());
        let ran = tokio::task::spawn_blocking(move || command.output()).await;
        ran.unwrap().unwrap()
    }

    /// What lies in the store, but for its mark.
    fn objects(&self) -> Vec<PathBuf> {
        let mut objects = files(&self.path("store"));
        objects.retain(|path| path.file_name().unwrap() != "propeller-depot");
        objects.sort();
        objects
    }

    /// Creates a task with an input in the store, and does not start it; gives its id.
    async fn stored(&self, input: &[u8]) -> String {
        self.write("echo.wasm", &echo());
        self.write("input", input);
        let create = "tasks create echo --file %/echo.wasm --stdin %/input --output-limit 16MiB";
        let created = self.propeller(&format!("{create} --json")).await;
        assert!(created.status.success(), "{}", text(&created.stderr));
        let task: serde_json::Value = serde_json::from_slice(&created.stdout).unwrap();
        task["id"].as_str().unwrap().to_owned()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let below = entries.flat_map(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path),
            false => vec![path],
        }
    });
    below.collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn echoes(isolation: &str) {
    let mut world = World::new().await;
    let tap = Tap::start(world.address).await.unwrap();
    world.address = tap.address();
    let Some(shop) = Shop::open(world, isolation).await else {
        return;
    };
    let canary = b"canary-of-a-large-input-5c1e";
    let mut input = noise(9 * MIB + 5, 7);
    input[5 * MIB..][..canary.len()].copy_from_slice(canary);
    shop.write("echo.wasm", &echo());
    shop.write("input", &input);
    let create = "tasks create echo --file %/echo.wasm --stdin %/input --output-limit 16MiB --wait";
    let ran = shop.propeller(create).await;
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert!(ran.stdout == input, "{} bytes", ran.stdout.len());
    assert_eq!(shop.objects().len(), 2);
    for path in files(&shop.path("store")) {
        let bytes = fs::read(&path).unwrap();
        let is_there = bytes.windows(canary.len()).any(|window| window == canary);
        assert!(!is_there, "{}", path.display());
    }
    let seen = tap.search(&[canary]);
    assert_eq!(seen.hits, 0);
    assert!(
        seen.bytes < 1_000_000,
        "{} bytes went over the broker",
        seen.bytes
    );
    let tasks = shop.propeller("tasks list --json").await;
    let tasks: serde_json::Value = serde_json::from_slice(&tasks.stdout).unwrap();
    let id = tasks["tasks"][0]["id"].as_str().unwrap().to_owned();
    let task = shop.client.task_view(&id).await.unwrap();
    let stdin = task.stdin_object.clone().unwrap();
    assert_eq!(stdin.length, input.len() as u64);
    let usage = task.attempts[0].usage.unwrap();
    assert_eq!(usage.input_bytes, input.len() as u64);
    let again = shop.propeller(&format!("tasks results {id}")).await;
    assert!(again.stdout == input, "{}", text(&again.stderr));
    shop.client.task_delete(&id).await.unwrap();
    until("the objects go with their task", async || {
        shop.objects().is_empty()
    })
    .await;
    shop.proplet.stop().await;
    shop.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_input_and_output_are_in_the_store_and_nowhere_to_be_read() {
    echoes("in-process").await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_a_process_of_its_own_reads_and_prints_as_much() {
    echoes("process").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_is_cut_off_or_changed_leads_to_no_result() {
    let shop = Shop::open(World::new().await, "in-process").await.unwrap();
    for (name, spoil) in [
        ("changed", (|bytes| bytes[5 * MIB] ^= 1) as fn(&mut Vec<u8>)),
        ("cut off", |bytes| bytes.truncate(5 * MIB)),
        ("gone", Vec::clear),
    ] {
        let id = shop.stored(&noise(8 * MIB, 3)).await;
        let path = shop.objects().pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        spoil(&mut bytes);
        match bytes.is_empty() {
            true => fs::remove_file(&path).unwrap(),
            false => fs::write(&path, bytes).unwrap(),
        }
        shop.client.task_start(&id).await.unwrap();
        let task = wait(&shop.client, &id).await;
        assert_eq!(state(&task), "failed", "{name}");
        assert!(task.error.contains("input"), "{name}: {}", task.error);
        assert!(task.results.is_null(), "{name}");
        assert_eq!(task.attempts.len(), 3, "{name}: it is tried again");
        shop.client.task_delete(&id).await.unwrap();
        until("the objects are gone", async || shop.objects().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_was_changed_in_the_store_is_refused_by_its_owner() {
    let shop = Shop::open(World::new().await, "in-process").await.unwrap();
    let id = shop.stored(&noise(4 * MIB, 5)).await;
    shop.client.task_start(&id).await.unwrap();
    let task = wait(&shop.client, &id).await;
    assert_eq!(state(&task), "completed", "{}", task.error);
    let is_output = |path: &PathBuf| path.ends_with("stdout-1");
    let path = shop.objects().into_iter().find(is_output).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[3 * MIB] ^= 1;
    fs::write(&path, bytes).unwrap();
    let refused = shop
        .propeller(&format!("tasks results {id} -o %/out"))
        .await;
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(!shop.path("out").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_need_not_read_its_input_to_the_end() {
    let shop = Shop::open(World::new().await, "in-process").await.unwrap();
    shop.write("early.wasm", &wat(r#"(module (func (export "_start")))"#));
    shop.write("input", &noise(8 * MIB, 9));
    let create = "tasks create early --file %/early.wasm --stdin %/input --wait";
    let ran = shop.propeller(create).await;
    assert!(ran.status.success(), "{}", text(&ran.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_reach_the_store_gets_nothing_that_is_in_it() {
    let world = World::new().await;
    for name in ["store", "elsewhere"] {
        fs::create_dir(world.scratch.path(name)).unwrap();
    }
    let at = |name: &str| world.scratch.path(name).display().to_string();
    let manager = world.manager_part().with("object_store", at("store"));
    let manager = manager.manager().await.unwrap();
    // It belongs to another manager, elsewhere: that has a mark of its own.
    let others = World::new().await;
    let other = others.part("other").with("object_store", at("elsewhere"));
    let other = other.manager().await.unwrap();
    let without = world.proplet("without");
    let astray = world.part("astray").with("liveliness_interval", "300ms");
    let astray = astray.with("object_store", at("elsewhere"));
    let astray = astray.proplet("astray").unwrap();
    let client = client(manager.url());
    ready(&client, 2).await;
    let mut small = request("echo", &echo());
    assert_eq!(state(&run(&client, &small).await), "completed");
    small.limits = Some(propeller_api::Limits {
        output_bytes: Some(8 * MIB as u64),
        ..Default::default()
    });
    let task = run(&client, &small).await;
    assert_eq!(state(&task), "failed");
    assert!(
        task.error.contains("PROPLET_OBJECT_STORE"),
        "{}",
        task.error
    );
    for proplet in [without, astray] {
        proplet.stop().await;
    }
    other.stop().await;
    manager.stop().await;
    // Nor does a second manager get a store that is somebody's.
    let second = world.part("second").with("object_store", at("store"));
    let refused = second.manager().await.unwrap_err();
    let refused = chain(&refused);
    assert!(refused.contains("another manager"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_a_large_input_is_refused_before_it_is_sent() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let folder = world.scratch.path("");
    fs::write(folder.join("echo.wasm"), echo()).unwrap();
    fs::write(folder.join("input"), noise(4 * MIB, 1)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_propeller"));
    command.args(["tasks", "create", "echo", "--file"]);
    command.arg(folder.join("echo.wasm"));
    command.arg("--stdin").arg(folder.join("input"));
    command.args(["-m", manager.url()]);
    let refused = tokio::task::spawn_blocking(move || command.output());
    let refused = refused.await.unwrap().unwrap();
    let said = text(&refused.stderr);
    assert!(!refused.status.success());
    assert!(said.contains("MANAGER_OBJECT_STORE"), "{said}");
    // Nothing half-made is left.
    let page = propeller_sdk::Page {
        offset: 0,
        limit: 10,
    };
    let tasks = client
        .task_list(page, &BTreeMap::new())
        .await
        .unwrap()
        .tasks
        .clone();
    let pending = |task: &propeller_api::Task| task.state == TaskState::Pending as u8;
    assert!(!tasks.iter().any(pending), "{tasks:?}");
}

#[test]
fn run_takes_a_large_input_and_gives_a_large_output() {
    let folder = propeller::stack::Scratch::new().unwrap();
    let input = noise(3 * MIB + 1, 13);
    let (module, file) = (folder.path("echo.wasm"), folder.path("input"));
    fs::write(&module, echo()).unwrap();
    fs::write(&file, &input).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_propeller"));
    command.arg("run").arg(&module).arg("--stdin").arg(&file);
    let ran = command.args(["--output-limit", "4MiB"]).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert!(ran.stdout == input);
}
