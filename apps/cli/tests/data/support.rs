//! A folder with places for shards, and the program.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A key, as its file has it.
pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// Another one.
pub(crate) const OTHER: &str = "2021222324252627282a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40";

/// A folder with three places, `a`, `b` and `c`, and the keys `key` and `other`.
pub(crate) struct Desk {
    folder: TempDir,
    /// Variables of every command.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.out).unwrap()
    }

    /// All of it, for snapshots.
    pub(crate) fn transcript(&self) -> String {
        let code = self
            .code
            .map_or_else(|| "killed".to_owned(), |code| code.to_string());
        without_ids(&format!("{}--- {code}\n{}", self.text(), self.err))
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        let desk = Self {
            folder: TempDir::new().unwrap(),
            variables: Vec::new(),
        };
        for place in ["a", "b", "c"] {
            fs::create_dir(desk.path(place)).unwrap();
        }
        desk.secret("key", KEY);
        desk.secret("other", OTHER);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// A file that nobody else may read.
    pub(crate) fn secret(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        self.write(name, format!("{text}\n").as_bytes());
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The names of the files in a folder.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut files: Vec<String> = entries.map(|e| name(e).into_string().unwrap()).collect();
        files.sort();
        files
    }

    /// All shards in the three places, by their names.
    pub(crate) fn shards(&self) -> Vec<(String, Vec<u8>)> {
        let mut shards = Vec::new();
        for place in ["a", "b", "c"].map(|place| self.path(place)) {
            let Ok(entries) = fs::read_dir(place) else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.folder.path()).unwrap();
                shards.push((name.display().to_string(), fs::read(&path).unwrap()));
            }
        }
        shards.sort();
        shards
    }

    /// Flips a bit of a file.
    pub(crate) fn flip(&self, name: &str, at: usize) {
        let mut bytes = self.read(name);
        bytes[at] ^= 1;
        self.write(name, &bytes);
    }

    /// The program with a line, in which `%` is the folder, and `ABC` the three places in it.
    pub(crate) fn command(&self, line: &str) -> Command {
        let folder = self.folder.path().to_str().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_propeller-cli"));
        command.arg("data");
        for word in line.split(' ') {
            match word {
                "ABC" => command.args(["a", "b", "c"].map(|place| self.path(place))),
                word => command.arg(word.replace('%', folder)),
            };
        }
        for variable in ["CES_ENCRYPTION_KEY", "AWS_ACCESS_KEY_ID"] {
            command.env_remove(variable);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        self.ran(self.command(line).output().unwrap())
    }

    /// Runs it, and sees to it that it did what it was asked.
    pub(crate) fn does(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
        ran
    }

    /// Runs it with an input.
    pub(crate) fn pipe(&self, line: &str, input: &[u8]) -> Ran {
        let mut child = self.start(line);
        // Whoever fails early reads nothing.
        child.stdin.take().unwrap().write_all(input).ok();
        self.ran(child.wait_with_output().unwrap())
    }

    /// Starts it, with a pipe for its input.
    pub(crate) fn start(&self, line: &str) -> Child {
        let mut command = self.command(line);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    pub(crate) fn ran(&self, output: Output) -> Ran {
        let folder = self.folder.path().to_str().unwrap();
        let back = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => text.replace(folder, "%").into_bytes(),
            Err(binary) => binary.into_bytes(),
        };
        Ran {
            code: output.status.code(),
            out: back(output.stdout),
            err: String::from_utf8(back(output.stderr)).unwrap(),
        }
    }

    /// The transcript of several lines.
    pub(crate) fn transcript(&self, lines: &[&str]) -> String {
        let says = |line: &&str| format!("$ data {line}\n{}\n", self.run(line).transcript());
        lines.iter().map(says).collect()
    }
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

/// Ids, digests and keys differ each time.
fn without_ids(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(at);
        let len = from
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(from.len());
        shown.push_str(before);
        shown.push_str(if len < 16 { &from[..len] } else { "…" });
        rest = &from[len..];
    }
    shown + rest
}

pub(crate) fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut options = fs::OpenOptions::new();
        let mut file = options.append(true).create(true).open(path).unwrap();
        // In one piece: other tests write at the same time.
        let line = format!("SKIPPED {name}: {reason}\n");
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Makes a named pipe.
pub(crate) fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// The permissions of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
