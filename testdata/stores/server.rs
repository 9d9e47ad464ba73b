//! Servers of object stores for tests, on loopback, and what differs between them: see README.md.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Whose protocol a store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vendor {
    /// Served by moto, which lets everybody in.
    S3,
    /// Served by Azurite.
    Azure,
}

impl Vendor {
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Azure => "az",
        }
    }

    /// Who is asking.
    pub(crate) fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::S3 => &[
                ("AWS_ACCESS_KEY_ID", "k"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
                ("AWS_REGION", "us-east-1"),
            ],
            Self::Azure => &[
                ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
                ("AZURE_STORAGE_ACCOUNT_KEY", "b2YgdGVzdHM="),
            ],
        }
    }

    /// Whether parts go when an upload is taken back. Azure forgets them after a week by itself, and
    /// cannot be asked to.
    pub(crate) fn forgets_parts(self) -> bool {
        self == Self::S3
    }

    /// What starts the server, or what is missing for that.
    fn command(self) -> Result<Command, &'static str> {
        match self {
            Self::S3 => moto(),
            Self::Azure => azurite(),
        }
    }
}

fn moto() -> Result<Command, &'static str> {
    let python = std::env::var_os("PROPELLER_TEST_PYTHON")
        .ok_or("no Python with moto[server]: run the tests with `cargo xtask test`")?;
    let python = || {
        let mut python = Command::new(&python);
        python.arg("-c");
        python
    };
    if !works(python().arg("import boto3, moto.server")) {
        return Err("the Python lacks moto[server]");
    }
    let mut server = python();
    server.arg(include_str!("s3.py"));
    Ok(server)
}

fn azurite() -> Result<Command, &'static str> {
    let modules = std::env::var_os("PROPELLER_TEST_NODE_MODULES")
        .ok_or("no packages for Node: run the tests with `cargo xtask test`")?;
    let node = || {
        let mut node = Command::new("node");
        node.env("NODE_PATH", &modules).arg("-e");
        node
    };
    // Azurite is looked for and not loaded: that would start it.
    let proof = "require('@azure/storage-blob'), require.resolve('azurite/package.json')";
    if !works(node().arg(proof)) {
        return Err("there is no Node with azurite and @azure/storage-blob");
    }
    let mut server = node();
    server.arg(include_str!("azure.js"));
    Ok(server)
}

fn works(proof: &mut Command) -> bool {
    let status = proof.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    answers: BufReader<ChildStdout>,
    /// Its address.
    pub(crate) url: String,
}

impl Server {
    /// Starts one that has these buckets, or says what is missing for that.
    pub(crate) fn start(vendor: Vendor, buckets: &[&str]) -> Result<Self, &'static str> {
        let mut child = vendor
            .command()?
            .args(buckets)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let url = answer(&mut answers).as_str().unwrap().to_owned();
        Ok(Self {
            child,
            answers,
            url,
        })
    }

    /// Has it do something, and gives the answer.
    pub(crate) fn ask(&mut self, line: &str) -> serde_json::Value {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        answer(&mut self.answers)
    }
}

fn answer(answers: &mut BufReader<ChildStdout>) -> serde_json::Value {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
