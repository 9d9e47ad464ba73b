//! What is refused, and what is left behind then: nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use crate::support::{Desk, KEY, OTHER, random};

#[test]
fn what_goes_wrong_says_where_to_look() {
    let desk = Desk::new();
    desk.write("in", &random(1_000, 1));
    desk.does("put %/in --shards ABC --label production --key-file %/key");
    desk.secret("staging", &format!("{KEY} staging"));
    desk.secret("elsewhere", &format!("{OTHER} staging"));
    desk.secret("short", &KEY[2..]);
    desk.secret("nothing", "# no key yet");
    desk.write("public", KEY.as_bytes());
    insta::assert_snapshot!(desk.transcript(&[
        "put %/in --shards ABC --key-file %/key",
        "put %/none --shards ABC --key-file %/key",
        "put %/a --shards ABC --key-file %/key",
        "put - --shards ABC --key-file %/key",
        "put %/in --name y --shards %/a %/nowhere --key-file %/key",
        "put %/in --name y --shards %/a %/a --key-file %/key",
        "put %/in --name y --shards ABC",
        "put %/in --name y --shards ABC --key-file %/key --key-file %/other",
        "put %/in --name y --shards ABC --key-file %/public",
        "put %/in --name y --shards ABC --key-file %/short",
        "put %/in --name y --shards ABC --key-file %/nothing",
        "put %/in --name y --shards ABC --key-file %/gone",
        "put %/in --name y --shards ABC --key-command false",
        "put %/in --name y --shards ABC --key-fd 77",
        "put %/in --name y --shards ABC --key-file %/staging --label production",
        "put %/in --name y --shards s3://bucket --endpoint http://127.0.0.1:9 --key-file %/key",
        "get in --shards ABC -o %/out --key-file %/other",
        "get in --shards ABC -o %/out --key-file %/staging",
        "get in --shards ABC -o %/out --key-file %/key --label staging",
        "get in --shards ABC -o %/out --key-file %/key --digest 0000000000000000000000000000000000000000000000000000000000000000",
        "get other --shards ABC -o %/out --key-file %/key",
        "get other --shards %/nowhere -o %/out --key-file %/key",
        "verify in --shards ABC --digest 0000000000000000000000000000000000000000000000000000000000000000",
        "rotate in --shards ABC --key-file %/other --new-key-file %/key",
        "rotate in --shards ABC --key-file %/key --new-key-file %/elsewhere",
    ]));
    assert_eq!(desk.shards().len(), 12);
    assert!(!desk.path("out").exists());
}

#[test]
fn arguments_that_make_no_sense() {
    let desk = Desk::new();
    for (line, word) in [
        ("put x --shards http://host/x", "s3://"),
        ("put x --shards a --geometry 8", "--geometry"),
        ("put x --shards a --geometry 0+1", "--geometry"),
        ("put x --shards a --level 23", "--level"),
        ("put x --shards a --segment-size 100KiB", "--segment-size"),
        ("put x --shards a --label Production", "--label"),
        ("put x --shards a --name ../x", "--name"),
        ("put x --shards a --threads 0", "--threads"),
        ("get x --shards a --digest 00 -o y", "--digest"),
        ("rotate x --shards a --key-file k", "--new-key-file"),
        (
            "migrate x --shards a --to b --from-v0 --new-key-fd 1",
            "--data",
        ),
    ] {
        let ran = desk.run(line);
        assert_eq!(ran.code, Some(2), "{line}: {ran:?}");
        assert!(ran.err.contains(word), "{line}: {}", ran.err);
    }
}

#[test]
fn an_address_that_is_none_is_told_by_its_name_and_not_by_a_panic() {
    let mut desk = Desk::new();
    let run = |desk: &Desk, store: &str, endpoint: Option<&str>| {
        let mut command = desk.command(&format!("info o --shards {store}"));
        desk.ran(command.args(endpoint).output().unwrap())
    };
    for (store, endpoint) in [
        ("s3://bucket", "--endpoint=localhost:9000"),
        ("s3://bucket", "--endpoint="),
        ("s3://bucket", "--endpoint=nonsense"),
        ("s3://bucket", "--endpoint= http://localhost:9000"),
        ("s3://bucket", "--endpoint=https://localhost:99999"),
        ("s3://bucket", "--endpoint=https://me:secret@localhost:9"),
        ("gs://bucket", "--endpoint=nonsense"),
        ("az://bucket", "--endpoint=localhost:9000"),
    ] {
        let refused = run(&desk, store, Some(endpoint));
        assert_eq!(refused.code, Some(2), "{endpoint}: {refused:?}");
        assert!(refused.err.contains("--endpoint"), "{}", refused.err);
        assert!(!refused.err.contains("secret"), "{}", refused.err);
        assert!(!refused.err.contains("panicked"), "{}", refused.err);
    }
    for (name, value) in [
        ("AWS_ENDPOINT", "localhost:9000"),
        ("AWS_ENDPOINT_URL", "https://me:secret@localhost:9"),
        ("AWS_ACCESS_KEY_ID", "secret\n"),
        ("AWS_REGION", "us east"),
    ] {
        desk.variables = vec![(name, value.to_owned())];
        let refused = run(&desk, "s3://bucket", None);
        assert_eq!(refused.code, Some(2), "{name}: {refused:?}");
        assert!(refused.err.contains(name), "{}", refused.err);
        assert!(!refused.err.contains("secret"), "{}", refused.err);
    }
}

/// A store without the bucket that is asked for, as S3 says it.
fn store_without_buckets() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = |mut stream: std::net::TcpStream| {
        let mut asked = Vec::new();
        let mut some = [0; 1024];
        while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut some) {
                Ok(len @ 1..) => asked.extend_from_slice(&some[..len]),
                _ => return,
            }
        }
        let body = "<Error><Code>NoSuchBucket</Code><Message>no such bucket</Message></Error>";
        let len = body.len();
        let head = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length:";
        write!(stream, "{head} {len}\r\n\r\n{body}").ok();
    };
    // Until the tests are over.
    thread::spawn(move || listener.incoming().flatten().for_each(answer));
    url
}

#[test]
fn a_store_that_cannot_be_listed_says_why_once_and_what_to_do() {
    let mut desk = Desk::new();
    desk.write("in", b"x");
    let url = store_without_buckets();
    desk.variables = vec![
        ("AWS_ACCESS_KEY_ID", "k".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "s".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    // The option goes before every variable, also before the one that goes before the others.
    let elsewhere = "https://127.0.0.1:9".to_owned();
    desk.variables.push(("AWS_ENDPOINT_URL_S3", elsewhere));
    let get = "get in --shards s3://none -o - --key-file %/key";
    let put = "put %/in --shards s3://none --key-file %/key";
    for line in [get, put] {
        let missing = desk.run(&format!("{line} --endpoint {url} --allow-http"));
        assert_eq!(missing.code, Some(1), "{missing:?}");
        let err = missing.err;
        assert_eq!(err.matches("<Code>NoSuchBucket").count(), 1, "{err}");
        assert!(err.contains("hint: a bucket or container is not"), "{err}");
    }
    desk.variables.pop();
    desk.variables.push(("AWS_ENDPOINT", url));
    for line in [get, put] {
        let plain = desk.run(line);
        assert_eq!(plain.code, Some(1), "{plain:?}");
        let err = plain.err;
        assert!(err.contains("hint: the store's address begins"), "{err}");
    }
}
