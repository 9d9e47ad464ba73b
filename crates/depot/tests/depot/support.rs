//! Depots to try things with.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use propeller_depot::{Depot, DepotError, Location, Name, OpenError, Part};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const MIB: usize = 1024 * 1024;

/// The id of a task.
pub(crate) fn task(number: u128) -> Uuid {
    Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0000 + number)
}

pub(crate) fn stdin(task: Uuid) -> Name {
    let part = Part::Stdin(0xabc);
    Name { task, part }
}

pub(crate) fn stdout(task: Uuid, attempt: u32) -> Name {
    let part = Part::Stdout(attempt);
    Name { task, part }
}

/// A depot in a folder of its own.
pub(crate) struct Desk {
    pub(crate) depot: Depot,
    folder: TempDir,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let depot = open(folder.path()).await.unwrap();
        Self { depot, folder }
    }

    /// The same, in use by a manager.
    pub(crate) async fn claimed() -> Self {
        let desk = Self::new().await;
        desk.depot.claim().await.unwrap();
        desk
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, file: impl ToString) -> PathBuf {
        self.root().join(file.to_string())
    }

    /// All files below the folder but the mark, and folders that are empty.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        gather(self.root(), self.root(), &mut files);
        files.retain(|file| file != "propeller-depot");
        files.sort();
        files
    }
}

fn gather(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let before = files.len();
        if path.is_dir() && !path.is_symlink() {
            gather(root, &path, files);
        }
        if files.len() == before {
            let name = path.strip_prefix(root).unwrap().display();
            files.push(name.to_string());
        }
    }
}

pub(crate) async fn open(folder: &Path) -> Result<Depot, OpenError> {
    let location: Location = folder.to_str().unwrap().parse().unwrap();
    Depot::open(&location, no_variables()).await
}

pub(crate) fn no_variables() -> [(String, String); 0] {
    []
}

/// Writes an object in uneven pieces.
pub(crate) async fn put(depot: &Depot, name: Name, bytes: &[u8]) -> Result<u64, DepotError> {
    let mut writer = depot.writer(name);
    for some in bytes.chunks(700_001) {
        writer.write(some).await?;
    }
    writer.finish().await
}

/// Reads a range of an object.
pub(crate) async fn get(
    depot: &Depot,
    name: Name,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, DepotError> {
    let blocks: Vec<Bytes> = depot.read(name, range).await?.try_collect().await?;
    Ok(blocks.concat())
}

/// Reads all of an object.
pub(crate) async fn get_all(depot: &Depot, name: Name) -> Vec<u8> {
    let len = depot.len(name).await.unwrap().unwrap();
    get(depot, name, 0..len).await.unwrap()
}

/// Incompressible bytes.
pub(crate) fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    // xorshift64*, which is enough for a compressor.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for chunk in bytes.chunks_mut(8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let word = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    bytes
}

/// Serves, and does what it is told: a line of JSON for each.
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
s3.create_bucket(Bucket="aaa")
print(json.dumps(url), flush=True)
for line in sys.stdin:
    what, *rest = line.split()
    if what == "list":
        answer = [o["Key"] for o in s3.list_objects_v2(Bucket="aaa").get("Contents", [])]
    elif what == "uploads":
        answer = len(s3.list_multipart_uploads(Bucket="aaa").get("Uploads", []))
    elif what == "put":
        s3.put_object(Bucket="aaa", Key=rest[0], Body=b"somebody else's")
        answer = None
    print(json.dumps(answer), flush=True)
server.stop()
"#;

/// A store with the bucket `aaa`.
pub(crate) struct Store {
    server: Child,
    answers: BufReader<ChildStdout>,
    url: String,
}

impl Store {
    /// Nothing, with a reason where tests that were skipped are counted, if it cannot be had here.
    #[allow(
        clippy::disallowed_methods,
        reason = "where tests find Python is not a setting of a service"
    )]
    pub(crate) fn new() -> Option<Self> {
        let Ok(python) = std::env::var("PROPELLER_TEST_PYTHON") else {
            skipped("no Python with moto[server]: run the tests with `cargo xtask test`");
            return None;
        };
        let mut proof = Command::new(&python);
        proof
            .args(["-c", "import boto3, moto.server"])
            .stderr(Stdio::null());
        if !proof.status().is_ok_and(|status| status.success()) {
            skipped("the Python lacks moto[server]");
            return None;
        }
        // There may be one already.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let mut server = Command::new(python)
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(server.stdout.take().unwrap());
        let url = answer(&mut answers).as_str().unwrap().to_owned();
        Some(Self {
            server,
            answers,
            url,
        })
    }

    pub(crate) async fn open(&self, location: &str) -> Result<Depot, OpenError> {
        let variables = [
            ("AWS_ENDPOINT_URL", self.url.as_str()),
            ("AWS_ACCESS_KEY_ID", "k"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_REGION", "us-east-1"),
        ];
        Depot::open(&location.parse().unwrap(), variables).await
    }

    pub(crate) fn ask(&mut self, line: &str) -> serde_json::Value {
        let stdin = self.server.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        answer(&mut self.answers)
    }

    pub(crate) fn objects(&mut self) -> Vec<String> {
        let keys = self.ask("list");
        let keys = keys.as_array().unwrap().iter();
        keys.map(|key| key.as_str().unwrap().to_owned()).collect()
    }
}

fn answer(answers: &mut BufReader<ChildStdout>) -> serde_json::Value {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

impl Drop for Store {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

pub(crate) fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(path).unwrap();
        // In one piece: other tests write at the same time.
        let line = format!("SKIPPED {name}: {reason}\n");
        file.write_all(line.as_bytes()).unwrap();
    }
}
