//! `push`, `pull` and `inspect` of an image, with Debian's registry.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use propeller_cli::Exit;
use tempfile::TempDir;

use crate::support::{Ran, run_at};

pub(crate) const NOBODY: &str = "http://127.0.0.1:9";

/// A registry, and a folder for files.
pub(crate) struct Place {
    registry: Child,
    address: String,
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = std::env::split_paths(&path).chain(["/usr/bin".into()]);
        let Some(program) = folders.find_map(|folder| {
            let program = folder.join("docker-registry");
            program.is_file().then_some(program)
        }) else {
            skipped("no docker-registry: run the tests with `cargo xtask test`");
            return None;
        };
        let folder = TempDir::new().expect("a folder can be made");
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n\
             storage: {{filesystem: {{rootdirectory: {}/data}}}}\n",
            folder.path().display()
        );
        fs::write(&config, text).expect("there is room");
        let mut registry = Command::new(program)
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stderr = registry.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest[..rest.find(['"', ','])?].to_owned())
        });
        let address = address.expect("it says where it listens");
        // It must not stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            registry,
            address,
            folder,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A key pair, as `NAME.pem` and `NAME.pub`.
    fn keys(&self, name: &str) {
        let key = rcgen::KeyPair::generate().expect("it can be made");
        fs::write(self.file(&format!("{name}.pem")), key.serialize_pem()).expect("room");
        fs::write(self.file(&format!("{name}.pub")), key.public_key_pem()).expect("room");
    }

    /// Runs a line; `@` is the registry, `%` the folder. Both are put back in what it says.
    fn run(&self, line: &str) -> Ran {
        let folder = self.folder.path().to_str().expect("it is text");
        let words = line.split(' ');
        let words = words.map(|word| word.replace('@', &self.address).replace('%', folder));
        let words: Vec<_> = words.collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let Ran { exit, out, err } = run_at(NOBODY, &words);
        let back = |text: &str| text.replace(&self.address, "REGISTRY").replace(folder, "%");
        let out = match String::from_utf8(out) {
            Ok(text) => back(&text).into_bytes(),
            Err(binary) => binary.into_bytes(),
        };
        Ran {
            exit,
            out,
            err: back(&err),
        }
    }

    pub(crate) fn says(&self, line: &str) -> String {
        without_digests(&self.run(line).transcript())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.kill().ok();
        self.registry.wait().ok();
    }
}

fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut options = fs::OpenOptions::new();
        let file = options.append(true).create(true).open(path);
        let mut file = file.expect("the list of skips can be written");
        writeln!(file, "SKIPPED {name}: {reason}").expect("there is room");
    }
}

/// Digests of what is encrypted or signed differ each time.
fn without_digests(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        shown.push_str("sha256:…");
        shown.push_str(rest);
    }
    shown
}

pub(crate) const MODULE: &str = r#"(module (func (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1))))"#;

#[test]
fn a_module_is_pushed_looked_at_and_pulled() {
    let Some(place) = Place::new() else { return };
    let module = wat::parse_str(MODULE).expect("the test's text is right");
    fs::write(place.file("add.wasm"), &module).expect("there is room");
    let mut said = String::new();
    for line in [
        "push %/add.wasm http://@/team/add:1",
        "inspect http://@/team/add:1",
        "pull http://@/team/add:1 -o %/back.wasm",
        "push %/add.wasm http://@/team/add:2 --as image",
        "inspect http://@/team/add:2 --json",
    ] {
        said.push_str(&format!("$ {line}\n{}\n", place.says(line)));
    }
    insta::assert_snapshot!(said);
    assert_eq!(
        fs::read(place.file("back.wasm")).expect("it is there"),
        module
    );
}

#[test]
fn a_module_on_standard_output_is_told_of_on_the_other() {
    let Some(place) = Place::new() else { return };
    let module = wat::parse_str(MODULE).expect("the test's text is right");
    fs::write(place.file("add.wasm"), &module).expect("there is room");
    place.keys("signer");
    place.run("push %/add.wasm http://@/add:1 --sign %/signer.pem");
    let mut said = String::new();
    for line in [
        "pull http://@/add:1 -o -",
        "pull http://@/add:1 -o - --require-signature %/signer.pub",
        "pull http://@/add:1 -o - --require-signature %/signer.pub --json",
    ] {
        let Ran { exit, out, err } = place.run(line);
        assert_eq!((exit, out), (Exit::Success, module.clone()));
        said.push_str(&format!("$ {line}\n{}\n", without_digests(&err)));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn an_image_is_run_as_a_task() {
    let Some(place) = Place::new() else { return };
    let mut said = String::new();
    for (name, text) in [
        (
            "function",
            "(module (func (export \"add\") (param i32 i32)))",
        ),
        ("nothing", "(module (func (export \"go\")))"),
        (
            "command",
            "(module (memory (export \"memory\") 1) (func (export \"_start\")))",
        ),
        ("useless", "(module)"),
    ] {
        let module = wat::parse_str(text).expect("the test's text is right");
        fs::write(place.file("m.wasm"), &module).expect("there is room");
        place.run(&format!("push %/m.wasm http://@/{name}:1"));
        let shown = place.says(&format!("inspect http://@/{name}:1"));
        let about = |line: &&str| line.starts_with("run ") || line.starts_with("cannot run");
        let lines: Vec<_> = shown.lines().filter(about).collect();
        said.push_str(&format!("{name}: {}\n", lines.join("\n")));
        let json = place.says(&format!("inspect http://@/{name}:1 --json"));
        let command = json.lines().find(|line| line.contains("\"command\":"));
        said.push_str(&format!("{}\n", command.unwrap_or_default().trim()));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn an_encrypted_and_signed_image_is_for_its_recipients_and_from_its_signer() {
    let Some(place) = Place::new() else { return };
    let module = wat::parse_str(MODULE).expect("the test's text is right");
    fs::write(place.file("add.wasm"), &module).expect("there is room");
    for name in ["alice", "bob", "signer", "mallory"] {
        place.keys(name);
    }
    let mut said = String::new();
    for line in [
        "push %/add.wasm http://@/secret:1 --encrypt jwe:%/alice.pub --encrypt jwe:%/bob.pub --sign %/signer.pem",
        "inspect http://@/secret:1",
        "pull http://@/secret:1 -o %/no.wasm",
        "pull http://@/secret:1 -o %/no.wasm --decryption-key jwe:%/mallory.pem",
        "pull http://@/secret:1 -o %/back.wasm --decryption-key jwe:%/bob.pem --require-signature %/signer.pub",
        "pull http://@/secret:1 -o %/no.wasm --decryption-key jwe:%/bob.pem --require-signature %/mallory.pub",
        "pull http://@/secret:1 -o %/no.wasm --decryption-key jwe:%/bob.pub",
        // What was encrypted anew is another image, which nobody has signed yet.
        "push %/add.wasm http://@/open:1 --sign %/signer.pem",
        "push %/add.wasm http://@/open:1 --sign %/signer.pem",
        "push %/add.wasm http://@/open:1 --sign %/signer.pem --json",
        "inspect http://@/open:1 --require-signature %/signer.pub",
    ] {
        said.push_str(&format!("$ {line}\n{}\n", place.says(line)));
    }
    insta::assert_snapshot!(said);
    assert_eq!(
        fs::read(place.file("back.wasm")).expect("it is there"),
        module
    );
    assert!(!place.file("no.wasm").exists());
}

#[test]
fn a_module_goes_where_it_is_told_and_replaces_only_files() {
    let Some(place) = Place::new() else { return };
    let module = wat::parse_str(MODULE).expect("the test's text is right");
    fs::write(place.file("add.wasm"), &module).expect("there is room");
    place.run("push %/add.wasm http://@/add:1");
    // By links of our own, which are all that could be replaced.
    for (link, to) in [
        ("null", "/dev/null"),
        ("full", "/dev/full"),
        ("link", "led"),
    ] {
        symlink(to, place.file(link)).expect("there is room");
    }
    let made = Command::new("mkfifo").arg(place.file("fifo")).status();
    assert!(made.expect("it is there").success());
    fs::write(place.file("led"), "old").expect("there is room");
    fs::set_permissions(place.file("led"), fs::Permissions::from_mode(0o600)).expect("it is ours");
    let fifo = place.file("fifo");
    let reader = std::thread::spawn(move || fs::read(fifo).expect("it can be read"));
    for (name, exit) in [
        ("null", Exit::Success),
        ("full", Exit::Failure),
        ("fifo", Exit::Success),
        ("link", Exit::Success),
    ] {
        let ran = place.run(&format!("pull http://@/add:1 -o %/{name}"));
        assert_eq!(ran.exit, exit, "{name}: {}", ran.err);
        // Standard output may be what is written to.
        assert_eq!(ran.out.is_empty(), name != "link", "{name}");
    }
    assert_eq!(reader.join().expect("it ends"), module);
    let kind = |name| fs::symlink_metadata(place.file(name)).expect("it is there");
    assert!(kind("fifo").file_type().is_fifo());
    assert!(
        ["null", "full", "link"]
            .iter()
            .all(|name| kind(name).is_symlink())
    );
    assert_eq!(fs::read(place.file("led")).expect("it is there"), module);
    assert_eq!(kind("led").permissions().mode() & 0o777, 0o600);
}

/// An index says nothing of itself; whoever signs signs the image in it.
#[test]
fn a_signature_of_the_image_in_an_index_is_seen_too() {
    let Some(place) = Place::new() else { return };
    let module = wat::parse_str(MODULE).expect("the test's text is right");
    fs::write(place.file("add.wasm"), &module).expect("there is room");
    place.keys("signer");
    let pushed = place.run("push %/add.wasm http://@/add:1 --sign %/signer.pem --json");
    let pushed: serde_json::Value = serde_json::from_slice(&pushed.out).expect("it is JSON");
    let digest = pushed["digest"].as_str().expect("it is there");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = format!("http://{}/v2/add/manifests/1", place.address);
    let manifest = curl(&["-H", &format!("Accept: {media_type}"), &manifest]);
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{"mediaType": media_type, "digest": digest, "size": manifest.len(),
            "platform": {"os": "wasip1", "architecture": "wasm"}}],
    });
    let kind = "Content-Type: application/vnd.oci.image.index.v1+json";
    let at = format!("http://{}/v2/add/manifests/index", place.address);
    curl(&["-X", "PUT", "-H", kind, "-d", &index.to_string(), &at]);
    let said = place.says("inspect http://@/add:index");
    assert!(said.contains("of its index"), "{said}");
    assert!(
        said.contains("1, not checked: see --require-signature"),
        "{said}"
    );
    let checked = place.run("pull http://@/add:index -o - --require-signature %/signer.pub");
    assert!(checked.err.contains("Signed by"), "{}", checked.err);
}

/// What a server answers, which has to like what it is asked.
fn curl(args: &[&str]) -> Vec<u8> {
    let done = Command::new("curl").args(["-sSf"]).args(args).output();
    let done = done.expect("it runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    done.stdout
}

#[test]
fn trust_in_the_manager_is_refused_where_only_registries_are_asked() {
    for flags in [&["--insecure"][..], &["-v=false"], &["--ca-cert", "ca.pem"]] {
        for verb in [
            &["push", "a.wasm", "ghcr.io/a:1"][..],
            &["pull", "ghcr.io/a:1", "-o", "-"],
            &["inspect", "ghcr.io/a:1"],
        ] {
            let ran = run_at(NOBODY, &[verb, flags].concat());
            assert_eq!(ran.exit, Exit::Usage, "{}", ran.err);
            assert!(ran.err.contains("is about the manager"), "{}", ran.err);
            assert!(ran.err.contains("--registry-ca FILE"), "{}", ran.err);
        }
    }
}

#[test]
fn what_goes_wrong_says_where_to_look() {
    let Some(place) = Place::new() else { return };
    fs::write(place.file("text.wasm"), "(module)").expect("there is room");
    fs::write(place.file("config.json"), "{\"auths\": []}").expect("there is room");
    let mut said = String::new();
    for line in [
        "pull http://@/nobody/knows -o %/no.wasm",
        "pull http://127.0.0.1:9/x -o %/no.wasm",
        "pull http://@/UPPER -o %/no.wasm",
        "push %/text.wasm http://@/text",
        "push %/none.wasm http://@/none",
        "pull http://@/x -o %/no.wasm --registry-config %/config.json",
        "pull http://@/x -o %/no.wasm --registry-config %/missing.json",
        "pull http://@/x -o %/no.wasm --registry-ca %/text.wasm",
        // It has no TLS.
        "pull @/x -o %/no.wasm",
        "inspect %/none.wasm",
    ] {
        said.push_str(&format!("$ {line}\n{}\n", place.says(line)));
    }
    insta::assert_snapshot!(said);
}
