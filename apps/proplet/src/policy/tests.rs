//! Rules, and what they say to those who ask for more.

use std::path::Path;

use super::*;

const NOWHERE: &str = "/nonexistent/data";

fn policy(text: &str) -> Result<Policy, PolicyError> {
    file::parse(text, Path::new(NOWHERE))
}

fn directory(host: &Path, access: Access) -> Grants {
    Grants {
        directories: vec![Directory {
            host: host.display().to_string(),
            guest: "/in".to_owned(),
            access,
        }],
        ..Grants::default()
    }
}

fn hosts(text: &str) -> Grants {
    Grants {
        hosts: vec![text.parse().expect("it is a host")],
        ..Grants::default()
    }
}

fn says(policy: &Policy, asked: &Grants) -> String {
    match policy.grant(Profile::Granted, asked) {
        Ok(_) => "granted".to_owned(),
        Err(refused) => refused.to_string(),
    }
}

#[test]
fn without_a_policy_nothing_is_granted() {
    let none = Policy::default();
    assert_eq!(
        says(&none, &hosts("example.com:443")),
        "grant refused: host example.com:443: this proplet grants nothing: \
         its operator has set no PROPLET_POLICY_FILE"
    );
    assert_eq!(says(&none, &Grants::default()), "granted");
}

#[test]
fn a_directory_is_granted_as_far_as_its_rule_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().canonicalize().expect("it is there");
    let (photos, secret) = (base.join("photos"), base.join("secret"));
    std::fs::create_dir_all(photos.join("2026")).expect("folders");
    std::fs::create_dir(&secret).expect("a folder");
    std::os::unix::fs::symlink(&secret, photos.join("out")).expect("a link");
    let text = format!("[directory.photos]\npath = \"{}\"\n", photos.display());
    let policy = policy(&text).expect("the policy holds");

    assert_eq!(says(&policy, &directory(&photos, Access::Read)), "granted");
    assert_eq!(
        says(&policy, &directory(&photos.join("2026"), Access::Read)),
        "granted"
    );
    let write = says(&policy, &directory(&photos, Access::ReadWrite));
    assert!(
        write.ends_with("(read-write): rule `directory.photos` allows read"),
        "{write}"
    );
    for outside in [
        secret,
        photos.join("out"),
        photos.join("../secret"),
        photos.join("absent"),
        base.join("photos2"),
    ] {
        let refused = says(&policy, &directory(&outside, Access::Read));
        assert!(
            refused.ends_with(
                "none of this proplet's rules for directories allows it: `directory.photos`"
            ),
            "{refused}"
        );
    }
}

#[test]
fn hosts_are_granted_by_name_and_port() {
    let policy = policy(
        "[host.weather]\nnames = [\"api.weather.example\", \"*.maps.example\"]\nports = [443]\n\
         [host.lab]\nnames = [\"192.0.2.7\"]\nports = [80, 8080]\nprivate = true\n",
    )
    .expect("the policy holds");
    for granted in [
        "api.weather.example:443",
        "a.maps.example:443",
        "192.0.2.7:8080",
    ] {
        assert_eq!(says(&policy, &hosts(granted)), "granted");
    }
    for (asked, why) in [
        (
            "api.weather.example:80",
            "rule `host.weather` allows the ports 443",
        ),
        (
            "maps.example:443",
            "none of this proplet's rules for hosts allows it: `host.lab`, `host.weather`",
        ),
        (
            "evilmaps.example:443",
            "none of this proplet's rules for hosts allows it: `host.lab`, `host.weather`",
        ),
    ] {
        assert_eq!(
            says(&policy, &hosts(asked)),
            format!("grant refused: host {asked}: {why}")
        );
    }
}

#[test]
fn ports_and_variables_have_rules_of_their_own() {
    let policy =
        policy("[listen.web]\nports = [8080, 8081]\n[env.locale]\nnames = [\"LANG\", \"LC_*\"]\n")
            .expect("the policy holds");
    let ports = |ports: &[u16]| Grants {
        ports: ports.to_vec(),
        ..Grants::default()
    };
    let env = |name: &str| Grants {
        env: vec![name.to_owned()],
        ..Grants::default()
    };
    let granted = policy
        .grant(Profile::Granted, &ports(&[8081]))
        .expect("it is allowed");
    assert_eq!(granted.capabilities.listen[0].to_string(), "127.0.0.1:8081");
    assert_eq!(
        says(&policy, &ports(&[80])),
        "grant refused: port 80: rule `listen.web` allows the ports 8080, 8081"
    );
    assert_eq!(says(&policy, &env("LC_ALL")), "granted");
    assert_eq!(
        says(&policy, &env("HOME")),
        "grant refused: variable HOME: none of this proplet's rules for env allows it: `env.locale`"
    );
    assert_eq!(
        says(&policy, &env("PROPLET_WORKLOAD_KEY")),
        "grant refused: variable PROPLET_WORKLOAD_KEY: no rule can grant a service's own settings"
    );
}

#[test]
fn a_policy_that_cannot_mean_what_it_says_is_refused() {
    for (text, says) in [
        (
            "[directory.a]\npath = \"srv\"",
            "rule `directory.a`: path has to be absolute",
        ),
        (
            "[directory.a]\npath = \"/\"",
            "rule `directory.a`: the proplet's own data directory is in its reach",
        ),
        (
            "[directory.a]\npath = \"/usr\"\naccess = \"write\"",
            "rule `directory.a`: access is `read` or `read-write`",
        ),
        (
            "[host.a]\nnames = [\"*\"]\nports = [1]",
            "rule `host.a`: names are host names, addresses, or `*.` and a host name",
        ),
        (
            "[host.a]\nnames = []\nports = [1]",
            "rule `host.a`: names and ports have to be there, and a port is 1 to 65535",
        ),
        (
            "[listen.a]\nports = [0]",
            "rule `listen.a`: ports have to be there, 1 to 65535",
        ),
        (
            "[env.a]\nnames = [\"*\"]",
            "rule `env.a`: names have to be there, and `*` stands for an end only",
        ),
        (
            "[env.a]\nnames = [\"PROPLET_*\"]",
            "rule `env.a`: a service's own settings cannot be granted",
        ),
        (
            "[host.a]\nname = \"x\"",
            "the policy file is malformed: unknown field `name`, expected one of `names`, `ports`, `private`",
        ),
    ] {
        let error = policy(text).expect_err(text);
        assert_eq!(error.to_string(), says);
    }
}

#[test]
fn a_rule_for_variables_that_could_match_none_is_refused() {
    for names in ["*_TOKEN", "A*B", "APP_**", "**", ""] {
        let error = policy(&format!("[env.a]\nnames = [\"LANG\", \"{names}\"]")).expect_err(names);
        let says = "rule `env.a`: names have to be there, and `*` stands for an end only";
        assert_eq!(error.to_string(), says, "{names}");
    }
    assert!(policy("[env.a]\nnames = [\"LANG\", \"APP_*\"]").is_ok());
}

#[test]
fn a_rule_for_names_below_a_name_grants_no_address() {
    let policy = policy("[host.a]\nnames = [\"*.0.0.1\"]\nports = [80]\n").expect("it holds");
    assert_eq!(
        says(&policy, &hosts("127.0.0.1:80")),
        "grant refused: host 127.0.0.1:80: \
         none of this proplet's rules for hosts allows it: `host.a`"
    );
}

#[test]
fn the_data_directory_is_out_of_reach_before_it_is_there() {
    let here = std::env::current_dir().expect("there is one");
    let text = format!("[directory.a]\npath = \"{}\"", here.display());
    let error = file::parse(&text, Path::new("not-there-yet")).expect_err("it is below");
    assert_eq!(
        error.to_string(),
        "rule `directory.a`: the proplet's own data directory is in its reach"
    );
}

#[test]
fn the_data_directory_is_out_of_reach_through_a_link_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let real = folder.path().join("real");
    let link = folder.path().join("link");
    std::fs::create_dir(&real).expect("a folder");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    let text = format!("[directory.a]\npath = \"{}\"", real.display());
    for own in ["data", "data/below"] {
        let error = file::parse(&text, &link.join(own)).expect_err("it will be below");
        let said = error.to_string();
        assert!(said.ends_with("data directory is in its reach"), "{said}");
    }
    assert!(file::parse(&text, &folder.path().join("other")).is_ok());
}

#[test]
fn grants_hold_only_with_their_profile() {
    let policy = policy("[listen.web]\nports = [8080]\n").expect("the policy holds");
    let asked = Grants {
        ports: vec![8080],
        ..Grants::default()
    };
    for profile in [Profile::Pure, Profile::Deterministic] {
        let refused = policy.grant(profile, &asked).expect_err("no grants");
        let why = format!("grant refused: everything: the task has the profile `{profile}`");
        assert_eq!(refused.to_string(), why);
    }
}
