//! What is told of what was found.

use propeller_attest::Tee;
use propeller_attest::detect::{Host, Outcome, detect};
use serde_json::json;

use crate::tree::Tree;

#[test]
fn what_was_found_is_told_as_json() {
    let tree = Tree::parse("reports tdx_guest\nerror /dev/sev-guest EACCES\n");
    let found = serde_json::to_value(detect(&tree)).unwrap();
    assert_eq!(found["tee"], "tdx");
    assert_eq!(
        found["fact"],
        "/sys/kernel/config/tsm/report: reports come from tdx_guest"
    );
    assert_eq!(
        found["looked"][1],
        json!({
            "place": "/sys/kernel/config/tsm/report",
            "outcome": "found",
            "tee": "tdx",
            "says": "reports come from tdx_guest",
        })
    );
    assert_eq!(
        found["looked"][3],
        json!({
            "place": "/dev/sev-guest",
            "outcome": "blocked",
            "says": "permission denied: run as root",
        })
    );
    assert_eq!(found["looked"].as_array().unwrap().len(), 8);
}

#[test]
fn nothing_is_certain_until_everything_was_looked_at() {
    let undecided = |tree: &str| detect(&Tree::parse(tree)).is_undecided();
    assert!(!undecided("folder /dev\n"));
    assert!(undecided("error /dev/tdx_guest EACCES\n"));
    assert!(undecided("device /dev/tdx_guest\ndevice /dev/sev-guest\n"));
    assert!(!undecided(
        "device /dev/tdx_guest\nerror /dev/sev-guest EACCES\n"
    ));
}

#[test]
fn a_contradiction_is_no_tee() {
    let found = detect(&Tree::parse(
        "reports arm_cca_guest\ndevice /dev/sev-guest\n",
    ));
    assert_eq!(found.tee, None);
    assert_eq!(
        found.fact,
        "contradictory, /sys/kernel/config/tsm/report says cca, /dev/sev-guest says snp"
    );
    let count = |outcome: &Outcome| matches!(outcome, Outcome::Found { .. });
    let found = found.looked.iter().filter(|probe| count(&probe.outcome));
    assert_eq!(found.count(), 2);
}

#[test]
fn the_first_fact_that_says_so_is_told() {
    let found = detect(&Tree::parse("device /dev/tdx_guest\nreports tdx_guest\n"));
    assert_eq!(found.tee, Some(Tee::Tdx));
    assert!(found.fact.starts_with("/sys/kernel/config/tsm/report"));
}

#[test]
fn what_a_host_says_moves_no_cursor() {
    let vendor = "file /sys/class/dmi/id/sys_vendor \u{1b}[31mEvil\u{7}\n";
    let found = detect(&Tree::parse(vendor)).to_string();
    assert!(!found.contains(['\u{1b}', '\u{7}']), "{found:?}");
    assert!(found.contains("Evil"), "{found:?}");
}

#[test]
fn a_folder_can_stand_for_a_machine() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::at(folder.path());
    let found = detect(&host);
    assert_eq!((found.tee, found.is_undecided()), (None, false), "{found}");

    // Where the folder for reports is not the kernel's, a request in it has no files.
    let reports = folder.path().join("sys/kernel/config/tsm/report");
    std::fs::create_dir_all(&reports).unwrap();
    let found = detect(&host);
    assert_eq!((found.tee, found.is_undecided()), (None, true), "{found}");
    assert_eq!(std::fs::read_dir(&reports).unwrap().count(), 0);

    let device = folder.path().join("dev/sev-guest");
    std::fs::create_dir(folder.path().join("dev")).unwrap();
    std::os::unix::fs::symlink("/dev/null", device).unwrap();
    assert_eq!(detect(&host).tee, Some(Tee::Snp));
}
