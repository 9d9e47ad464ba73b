//! Large inputs and outputs in a store that speaks the protocol of S3: moto, on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::objects::{echo, noise};
use crate::processes::{Process, free_port};
use crate::support::{World, client, ready, skipped, until};

/// Serves, and for each line that it is sent prints which objects there are.
const SERVER: &str = r#"
import json, logging, sys
import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
url = "http://127.0.0.1:%d" % server.get_host_and_port()[1]
s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1",
                  aws_access_key_id="k", aws_secret_access_key="s")
s3.create_bucket(Bucket="tasks")
print(json.dumps(url), flush=True)
for line in sys.stdin:
    found = s3.list_objects_v2(Bucket="tasks").get("Contents", [])
    print(json.dumps([o["Key"] for o in found]), flush=True)
"#;

struct Store {
    server: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    url: String,
}

impl Store {
    fn start() -> Option<Self> {
        let Some(python) = std::env::var_os("PROPELLER_TEST_PYTHON") else {
            skipped("a store needs Python with moto (set PROPELLER_TEST_PYTHON)");
            return None;
        };
        #[allow(
            clippy::zombie_processes,
            reason = "it is waited for when the store is dropped"
        )]
        let mut server = Command::new(python)
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = server.stdin.take().unwrap();
        let mut from = BufReader::new(server.stdout.take().unwrap());
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let mut store = Self {
            server,
            to,
            from,
            url: String::new(),
        };
        let Ok(url) = serde_json::from_str(&line) else {
            skipped("Python has no moto[server]");
            return None;
        };
        store.url = url;
        Some(store)
    }

    fn objects(&mut self) -> Vec<String> {
        writeln!(self.to).unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_input_and_output_may_lie_in_a_bucket() {
    let world = World::new().await;
    let Some(mut store) = Store::start() else {
        return;
    };
    let (port, listen) = (
        free_port().to_string(),
        format!("127.0.0.1:{}", free_port()),
    );
    let env = [
        ("MANAGER_HTTP_PORT", port.as_str()),
        ("BROKER_LISTEN", listen.as_str()),
        ("MANAGER_OBJECT_STORE", "s3://tasks/propeller"),
        ("AWS_ENDPOINT", store.url.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    let folder = world.scratch.path("up");
    let mut up = Process::start(&folder, &["up"], &env);
    up.expect(&["Propeller is up"]);
    let url = format!("http://127.0.0.1:{port}");
    let client = client(&url);
    ready(&client, 1).await;
    // More than a part of an upload.
    let input = noise(18 * 1024 * 1024 + 1, 11);
    std::fs::write(folder.join("echo.wasm"), echo()).unwrap();
    std::fs::write(folder.join("input"), &input).unwrap();
    let mut create = Command::new(env!("CARGO_BIN_EXE_propeller"));
    create.args(["tasks", "create", "echo", "--wait", "-m", &url]);
    create.arg("--file").arg(folder.join("echo.wasm"));
    create.arg("--stdin").arg(folder.join("input"));
    create.args(["--output-limit", "32MiB"]);
    let created = tokio::task::spawn_blocking(move || create.output().unwrap());
    let created = created.await.unwrap();
    let said = String::from_utf8_lossy(&created.stderr);
    assert!(created.status.success(), "{said}");
    assert!(created.stdout == input, "{said}");
    let page = propeller_sdk::Page {
        offset: 0,
        limit: 1,
    };
    let tasks = client.task_list(page, &BTreeMap::new()).await.unwrap();
    let id = tasks.tasks[0].id.clone();
    let objects = store.objects();
    assert_eq!(objects.len(), 3, "{objects:?}");
    assert!(objects.contains(&format!("propeller/{id}/stdout-1")));
    client.task_delete(&id).await.unwrap();
    until("the objects go with their task", async || {
        store.objects() == ["propeller/propeller-depot"]
    })
    .await;
    assert_eq!(up.terminate(), Some(0));
}
