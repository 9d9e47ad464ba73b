//! Programs that keep credentials, as scripts in a folder that is in `PATH`.
//!
//! What is in `PATH` is the process's: each of these tests runs itself again in a process of its own.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use propeller_oci::{Credentials, Registry, RegistryOptions};

use crate::hostile::{honest, outcome, with};
use crate::support::{Answer, Asked, MODULE, Scripted, client};

/// Says which story a process is to play.
const STORY: &str = "STORY_OF_KEEPERS";

/// Whether this process has a folder with such programs in its `PATH`. If it has not, a process that
/// has plays the story.
fn has(story: &str, programs: &[(&str, &str)]) -> bool {
    if std::env::var_os(STORY).is_some_and(|playing| playing == story) {
        return true;
    }
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for (name, script) in programs {
        write(
            &folder.path().join(format!("docker-credential-{name}")),
            script,
        );
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [folder.path().to_owned()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).expect("none has a colon in it");
    let played = Command::new(std::env::current_exe().expect("it is there"))
        .args([&format!("keepers::{story}"), "--exact", "--nocapture"])
        .env("PATH", path)
        .env(STORY, story)
        .env("KEEPER_FOLDER", folder.path())
        .env("PROPLET_WORKLOAD_KEY", "s3cret")
        .output();
    let played = played.expect("it starts");
    let said = String::from_utf8_lossy(&played.stdout);
    let why = String::from_utf8_lossy(&played.stderr);
    assert!(
        played.status.success() && said.contains("1 passed"),
        "{said}{why}"
    );
    false
}

fn write(path: &Path, script: &str) {
    let mut file = std::fs::File::create(path).expect("there is room");
    file.write_all(format!("#!/bin/sh\n{script}").as_bytes())
        .expect("there is room");
    let permissions = std::fs::Permissions::from_mode(0o755);
    file.set_permissions(permissions).expect("it is ours");
}

/// What a program has left in its folder.
fn left(name: &str) -> String {
    let folder = std::env::var_os("KEEPER_FOLDER").expect("it is said");
    std::fs::read_to_string(Path::new(&folder).join(name)).unwrap_or_default()
}

fn knowing(config: &str) -> Registry {
    let credentials = Credentials::from_docker_config(config.as_bytes()).expect("it is one");
    client(RegistryOptions {
        credentials,
        ..RegistryOptions::default()
    })
}

/// A registry that lets in whoever has `expected`.
async fn closed(challenge: &'static str, expected: &'static str) -> Scripted {
    Scripted::start(move |asked: &Asked| {
        if asked.path.starts_with("/token") {
            return Answer::new(200, &[], r#"{"token":"for-nobody"}"#);
        }
        match asked.authorization.as_deref() == Some(expected) {
            true => with(honest(), || Answer::new(200, &[], MODULE))(asked),
            false => Answer::new(401, &[("www-authenticate", challenge)], ""),
        }
    })
    .await
}

const BASIC: &str = "Basic realm=x";
const BEARER: &str = "Bearer realm=\"/token\"";
/// `me:s3cret`
const ME: &str = "Basic bWU6czNjcmV0";
/// Writes down what it was asked and what it was not to know, and knows a name and a password.
const KNOWS: &str = r#"
echo "$1 $(cat) ${PROPLET_WORKLOAD_KEY:-nothing}" > "$(dirname "$0")/asked"
echo '{"ServerURL":"x","Username":"me","Secret":"s3cret"}'"#;

#[tokio::test]
async fn a_program_says_who_we_are() {
    if !has("a_program_says_who_we_are", &[("script", KNOWS)]) {
        return;
    }
    let server = closed(BASIC, ME).await;
    let one = format!(r#"{{"credHelpers":{{"{}":"script"}}}}"#, server.address);
    for config in [one.as_str(), r#"{"credsStore":"script"}"#] {
        let said = outcome(&knowing(config), &server.reference("image")).await;
        assert_eq!(said, "8 bytes", "{config}");
        assert_eq!(left("asked"), format!("get {} nothing\n", server.address));
    }
}

#[tokio::test]
async fn a_token_that_is_kept_is_exchanged() {
    let script = r#"echo '{"Username":"<token>","Secret":"refresh"}'"#;
    if !has("a_token_that_is_kept_is_exchanged", &[("script", script)]) {
        return;
    }
    let server = closed(BEARER, "Bearer for-nobody").await;
    let registry = knowing(r#"{"credsStore":"script"}"#);
    let said = outcome(&registry, &server.reference("image")).await;
    assert_eq!(said, "8 bytes");
    // An identity is posted, and in no address.
    let asked = server.asked();
    let token = asked.iter().find(|asked| asked.path.starts_with("/token"));
    assert_eq!(token.expect("it is asked for").path, "/token");
}

/// Whatever a program does, what is public stays so, and what is not says why.
#[tokio::test]
async fn where_a_program_says_nothing_we_are_nobody() {
    let story = "where_a_program_says_nothing_we_are_nobody";
    let programs = [
        (
            "empty",
            "echo credentials not found in native keychain; exit 1",
        ),
        (
            "failing",
            "echo the secret is s3cret; echo s3cret >&2; exit 3",
        ),
        ("talking", "head -c 100000 /dev/zero"),
        ("babbling", "yes s3cret"),
        ("garbled", r#"echo '{"Username":"s3cret"'"#),
        ("deaf", "exec <&-; kill -9 $$"),
    ];
    if !has(story, &programs) {
        return;
    }
    let public = closed(BEARER, "Bearer for-nobody").await;
    let secret = closed(BEARER, "Bearer for-somebody").await;
    let password = closed(BASIC, ME).await;
    for (name, why) in [
        ("empty", None),
        ("failing", Some("fails with status 3")),
        ("talking", Some("answers with more than 65536 bytes")),
        ("babbling", Some("answers with more than 65536 bytes")),
        (
            "garbled",
            Some("answers with something that is no credential"),
        ),
        ("deaf", Some("was killed")),
        ("missing", Some("is no program in PATH")),
        (
            "../script",
            Some("is no name of a program: letters, digits, `.`, `_` and `-`"),
        ),
    ] {
        let registry = |server: &Scripted| {
            knowing(&format!(
                r#"{{"credHelpers":{{"{}":"{name}"}}}}"#,
                server.address
            ))
        };
        let said = outcome(&registry(&public), &public.reference("image")).await;
        assert_eq!(said, "8 bytes", "{name}");
        let kept = |server: &Scripted| {
            let why = why?;
            let address = &server.address;
            Some(format!(
                "the credentials of {address} are kept by docker-credential-{name}, which {why}"
            ))
        };
        let said = outcome(&registry(&secret), &secret.reference("image")).await;
        let who = kept(&secret).map_or_else(String::new, |kept| format!(" ({kept})"));
        let expected = format!(
            "credentials: {} does not let an anonymous user{who} pull from image",
            secret.address
        );
        assert_eq!(said, expected, "{name}");
        let said = outcome(&registry(&password), &password.reference("image")).await;
        let asks = "asks for a name and a password, and there are none for it";
        let expected = kept(&password).map_or_else(
            || format!("credentials: {} {asks}", password.address),
            |kept| format!("credentials: {kept}"),
        );
        assert_eq!(said, expected, "{name}");
    }
}

#[tokio::test]
async fn a_program_that_never_answers_is_killed() {
    let story = "a_program_that_never_answers_is_killed";
    let script = r#"echo $$ > "$(dirname "$0")/pid"; exec sleep 600"#;
    if !has(story, &[("sleeping", script)]) {
        return;
    }
    let server = closed(BEARER, "Bearer for-nobody").await;
    let registry = knowing(r#"{"credsStore":"sleeping"}"#);
    let begun = Instant::now();
    let reference = server.reference("image");
    // Whoever does not wait any more is enough.
    let waiting = outcome(&registry, &reference);
    let late = tokio::time::timeout(Duration::from_secs(2), waiting).await;
    assert!(late.is_err() && begun.elapsed() < Duration::from_secs(20));
    let process = format!("/proc/{}", left("pid").trim());
    for _ in 0..100 {
        // It is waited for by whoever killed it, some time later.
        let state = std::fs::read_to_string(format!("{process}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{process} is there still");
}
