//! Objects in a store that speaks the protocol of S3: moto, on loopback.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::{Desk, random, skipped};

const MIB: usize = 1024 * 1024;

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
for bucket in ["aaa", "bbb", "ccc"]:
    s3.create_bucket(Bucket=bucket)
print(json.dumps(url), flush=True)
for line in sys.stdin:
    what, bucket, *rest = line.split()
    if what == "list":
        answer = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    elif what == "uploads":
        answer = len(s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []))
    elif what == "delete":
        s3.delete_object(Bucket=bucket, Key=rest[0])
        answer = None
    elif what == "put":
        s3.put_object(Bucket=bucket, Key=rest[0], Body=b"somebody else's")
        answer = None
    elif what == "flip":
        body = bytearray(s3.get_object(Bucket=bucket, Key=rest[0])["Body"].read())
        body[int(rest[1])] ^= 1
        s3.put_object(Bucket=bucket, Key=rest[0], Body=bytes(body))
        answer = None
    elif what == "hash":
        import hashlib
        answer = hashlib.sha256(s3.get_object(Bucket=bucket, Key=rest[0])["Body"].read()).hexdigest()
    print(json.dumps(answer), flush=True)
server.stop()
"#;

/// A store with the buckets `aaa`, `bbb` and `ccc`.
struct Store {
    server: Child,
    answers: BufReader<ChildStdout>,
    desk: Desk,
    url: String,
}

impl Store {
    fn new() -> Option<Self> {
        let Some(python) = std::env::var_os("PROPELLER_TEST_PYTHON") else {
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
        let mut server = Command::new(python)
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(server.stdout.take().unwrap());
        let url = answer(&mut answers).as_str().unwrap().to_owned();
        let mut desk = Desk::new();
        desk.variables = vec![
            ("AWS_ACCESS_KEY_ID", "k".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "s".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        Some(Self {
            server,
            answers,
            desk,
            url,
        })
    }

    fn ask(&mut self, line: &str) -> serde_json::Value {
        let stdin = self.server.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        answer(&mut self.answers)
    }

    /// All objects in the buckets, and their hashes.
    fn objects(&mut self) -> Vec<(String, String)> {
        let mut objects = Vec::new();
        for bucket in ["aaa", "bbb", "ccc"] {
            for key in self.ask(&format!("list {bucket}")).as_array().unwrap() {
                let key = key.as_str().unwrap();
                let hash = self.ask(&format!("hash {bucket} {key}"));
                objects.push((format!("{bucket}/{key}"), hash.to_string()));
            }
        }
        objects
    }

    /// `S3` stands for the three places.
    fn line(&self, line: &str) -> String {
        let line = line.replace("S3", "s3://aaa/x/y s3://bbb s3://ccc/z");
        format!("{line} --endpoint {} --allow-http", self.url)
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

#[test]
fn everything_works_in_a_store_as_in_folders() {
    let Some(mut store) = Store::new() else {
        return;
    };
    // Several chunks and parts in each shard.
    let bytes = random(20 * MIB + 7, 1);
    store.desk.write("in", &bytes);
    let put = store.line("put %/in --name ü#1 --shards S3 --geometry 2+1 --json --key-file %/key");
    let put = store.desk.does(&put).json();
    let digest = put["digest"].as_str().unwrap().to_owned();
    let before = store.objects();
    let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "aaa/x/y/ü#1.ces-000-of-003",
        "bbb/ü#1.ces-001-of-003",
        "ccc/z/ü#1.ces-002-of-003",
    ];
    assert_eq!(names, expected);
    let get = store.line("get ü#1 --shards S3 -o - --key-file %/key");
    assert!(store.desk.does(&get).out == bytes);
    let range = "range ü#1 --shards S3 --offset 7000000 --length 3000000 --key-file %/key";
    assert!(store.desk.does(&store.line(range)).out == bytes[7_000_000..10_000_000]);

    store.ask("delete bbb ü#1.ces-001-of-003");
    let get = store.line("get ü#1 --shards S3 -o %/out --key-file %/key");
    store.desk.does(&get);
    assert!(store.desk.read("out") == bytes);
    store.ask("flip aaa x/y/ü#1.ces-000-of-003 3000000");
    let lost = store.desk.run(&get);
    assert_eq!(lost.code, Some(1));
    assert!(
        lost.err.contains("s3://aaa/x/y/ü#1.ces-000-of-003"),
        "{}",
        lost.err
    );
    store.ask("flip aaa x/y/ü#1.ces-000-of-003 3000000");
    let repair = store.line(&format!("repair ü#1 --shards S3 --digest {digest}"));
    store.desk.does(&repair);
    assert_eq!(store.objects(), before);

    let rotate = "rotate ü#1 --shards S3 --key-file %/key --new-key-file %/other";
    store.desk.does(&store.line(rotate));
    let verify = store.line(&format!("verify ü#1 --shards S3 --digest {digest}"));
    store.desk.does(&verify);
    let get = store.line("get ü#1 --shards S3 -o - --key-file %/other");
    assert!(store.desk.does(&get).out == bytes);
    let info = store.desk.does(&store.line("info ü#1 --shards S3"));
    assert!(
        info.text().contains("3 of 3 shards are there"),
        "{}",
        info.text()
    );

    let migrate =
        "migrate ü#1 --shards S3 --to %/a s3://aaa --new-name y --geometry 1+1 --remove-old";
    let migrate = format!("{migrate} --key-file %/other --new-key-file %/key");
    store.desk.does(&store.line(&migrate));
    let left: Vec<String> = store.objects().into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["aaa/y.ces-001-of-002"]);
    let get = store.line("get y --shards s3://aaa -o - --key-file %/key");
    assert!(store.desk.does(&get).out == bytes);
}

#[test]
fn small_objects_and_folders_beside_stores() {
    let Some(mut store) = Store::new() else {
        return;
    };
    store.desk.write("in", b"small");
    let put = store.line("put %/in --shards %/a s3://bbb %/c --key-file %/key");
    store.desk.does(&put);
    assert_eq!(store.objects().len(), 4);
    // A bucket that is lost is one place that is lost.
    let get = store.line("get in --shards %/a s3://nowhere %/c -o - --key-file %/key");
    let got = store.desk.does(&get);
    assert_eq!(got.out, b"small");
    assert!(
        got.err.contains("cannot look into s3://nowhere"),
        "{}",
        got.err
    );
}

#[test]
fn a_put_that_fails_leaves_nothing_in_any_store() {
    let Some(mut store) = Store::new() else {
        return;
    };
    // A place that refuses in the end: the folder is taken away under it.
    let line = "put - --name x --shards s3://aaa s3://bbb %/c --geometry 2+1 --key-file %/key";
    let mut child = store.desk.start(&store.line(line));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&random(24 * MIB, 2)).unwrap();
    assert_eq!(store.ask("uploads aaa"), 1);
    std::fs::remove_dir_all(store.desk.path("c")).unwrap();
    drop(stdin);
    let ran = store.desk.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("cannot write %/c/x.ces-002-of-003"),
        "{}",
        ran.err
    );
    assert!(store.objects().is_empty());
    assert_eq!(
        (store.ask("uploads aaa"), store.ask("uploads bbb")),
        (0.into(), 0.into())
    );

    let nobody =
        "put %/key --shards s3://aaa --endpoint http://127.0.0.1:9 --allow-http --key-file %/key";
    let nobody = store.desk.run(nobody);
    assert_eq!(nobody.code, Some(1));
    assert!(
        nobody.err.contains("cannot look into s3://aaa"),
        "{}",
        nobody.err
    );
}

#[test]
fn what_came_into_a_store_under_the_name_meanwhile_stays() {
    let Some(mut store) = Store::new() else {
        return;
    };
    // In parts, and at once.
    for (name, len) in [("x", 24 * MIB), ("y", 1)] {
        let put = format!("put - --name {name} --shards s3://aaa s3://bbb --geometry 1+1");
        let put = store.line(&format!("{put} --key-file %/key"));
        let mut child = store.desk.start(&put);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&random(len, 3)).unwrap();
        // Until it has looked whether the name is free.
        std::thread::sleep(std::time::Duration::from_secs(2));
        store.ask(&format!("put bbb {name}.ces-001-of-002"));
        drop(stdin);
        let ran = store.desk.ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let place = format!("cannot write s3://bbb/{name}.ces-001-of-002");
        assert!(ran.err.contains(&place), "{}", ran.err);
        let objects = store.objects();
        let names: Vec<&str> = objects.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [format!("bbb/{name}.ces-001-of-002")]);
        store.ask(&format!("delete bbb {name}.ces-001-of-002"));
        assert_eq!(store.ask("uploads bbb"), 0);
    }
}

#[test]
fn an_emulators_switch_leads_nowhere() {
    let mut desk = Desk::new();
    desk.variables = vec![
        ("AZURE_STORAGE_USE_EMULATOR", "true".to_owned()),
        ("AZURITE_BLOB_STORAGE_URL", "http://127.0.0.1:9".to_owned()),
    ];
    for line in [
        "get in --shards az://aaa -o - --key-file %/key",
        "get in --shards az://aaa -o - --key-file %/key --endpoint https://127.0.0.1:9",
    ] {
        let refused = desk.run(line);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let switch = "AZURE_STORAGE_USE_EMULATOR is not followed";
        assert!(refused.err.contains(switch), "{}", refused.err);
    }
}
