//! Debian's registry, until it is dropped.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

type Failure = Box<dyn std::error::Error>;

pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
    pub(crate) folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n\
             storage: {{filesystem: {{rootdirectory: {}/data}}}}\n",
            folder.path().display()
        );
        std::fs::write(&config, text)?;
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("no docker-registry: {error}; apt-get install it"))?;
        let stderr = process.stderr.take().ok_or("it is piped")?;
        let mut lines = BufReader::new(stderr).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest[..rest.find(['"', ','])?].to_owned())
        });
        // It must not stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            process,
            address: address.ok_or("the registry does not say where it listens")?,
            folder,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
