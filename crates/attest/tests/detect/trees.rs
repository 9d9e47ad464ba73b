//! Every file in `testdata/attest/trees`: a machine, and what is found of it.

use std::path::PathBuf;

use propeller_attest::detect::detect;

use crate::tree::Tree;

/// What hosts have, which says nothing about what this machine is itself.
const HOSTS: [&str; 8] = [
    "/dev/sev",
    "/dev/sgx",
    "/dev/sgx_enclave",
    "/dev/sgx_provision",
    "/proc/cpuinfo",
    "/dev/kmsg",
    "/sys/module",
    "/sys/firmware",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/attest/trees")
}

fn check(name: &str, text: &str) {
    let (machine, expected) = text.split_once("\n--\n").expect("a tree has an end");
    let tree = Tree::parse(machine);
    let found = detect(&tree);
    assert_eq!(found.to_string(), expected.trim_end(), "{name}");
    assert!(tree.is_clean(), "{name}: a request is left behind");
    for path in tree.touched.lock().unwrap().iter() {
        let host = |of: &&&str| path == **of || path.starts_with(&format!("{of}/"));
        let host = HOSTS.iter().find(host);
        assert_eq!(host, None, "{name}: {path} was looked at");
    }
}

#[test]
fn every_machine_is_found_to_be_what_it_is() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        check(&name, &std::fs::read_to_string(&path).unwrap());
        names.push(name);
    }
    assert!(names.len() >= 30, "there are only {names:?}");
}
