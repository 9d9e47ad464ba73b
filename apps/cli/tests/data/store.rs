//! A store, and the program with lines about it.

use crate::server::{Server, Vendor};
use crate::support::{Desk, Ran, skipped};

const BUCKETS: [&str; 3] = ["aaa", "bbb", "ccc"];

/// A store with the buckets `aaa`, `bbb` and `ccc`.
pub(crate) struct Store {
    server: Server,
    vendor: Vendor,
    pub(crate) desk: Desk,
}

impl Store {
    /// Nothing, with a reason where tests that were skipped are counted, if it cannot be had here.
    pub(crate) fn new(vendor: Vendor) -> Option<Self> {
        let server = match Server::start(vendor, &BUCKETS) {
            Ok(server) => server,
            Err(reason) => {
                skipped(reason);
                return None;
            }
        };
        let mut desk = Desk::new();
        let variables = vendor.variables().iter();
        desk.variables = variables
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Some(Self {
            server,
            vendor,
            desk,
        })
    }

    pub(crate) fn ask(&mut self, line: &str) -> serde_json::Value {
        self.server.ask(line)
    }

    /// All objects in the buckets, and their hashes.
    pub(crate) fn objects(&mut self) -> Vec<(String, String)> {
        let mut objects = Vec::new();
        for bucket in BUCKETS {
            for key in self.ask(&format!("list {bucket}")).as_array().unwrap() {
                let key = key.as_str().unwrap();
                let hash = self.ask(&format!("hash {bucket} {key}"));
                objects.push((format!("{bucket}/{key}"), hash.to_string()));
            }
        }
        objects
    }

    /// How many uploads are unfinished.
    pub(crate) fn unfinished(&mut self) -> u64 {
        let count = |bucket| self.ask(&format!("uploads {bucket}")).as_u64().unwrap();
        BUCKETS.map(count).iter().sum()
    }

    /// `ALL` stands for three places, and `@` for what comes before a bucket's name.
    pub(crate) fn line(&self, line: &str) -> String {
        let line = line.replace("ALL", "@aaa/x/y @bbb @ccc/z");
        let line = line.replace('@', &format!("{}://", self.vendor.scheme()));
        format!("{line} --endpoint {} --allow-http", self.server.url)
    }

    /// Runs such a line.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.desk.run(&self.line(line))
    }

    /// Runs it, and sees to it that it did what it was asked.
    pub(crate) fn does(&self, line: &str) -> Ran {
        self.desk.does(&self.line(line))
    }
}
