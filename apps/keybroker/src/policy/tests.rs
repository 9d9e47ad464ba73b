//! Rules, as data.

mod properties;

use serde_json::json;

use super::*;

const MEASUREMENT: &str = "9a3f00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccdd";

fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn path(text: &str) -> ResourcePath {
    text.parse().unwrap()
}

fn claims(value: Value) -> Claims {
    serde_json::from_value(value).unwrap()
}

fn tdx() -> Value {
    json!({
        "tee": "tdx",
        "evidence": {
            "mr_td": MEASUREMENT, "rtmr_1": "00", "debug": false,
            "tcb": {"status": "UpToDate"},
        },
        "init_data": {"tenant": "tenant-a"},
        "init_data_digest": "ab",
    })
}

fn snp() -> Value {
    json!({
        "tee": "snp",
        "evidence": {
            "measurement": MEASUREMENT, "debug": false, "signer": "vcek",
            "reported_tcb": {"snp": 20},
        },
    })
}

fn azure() -> Value {
    let mut azure = snp();
    azure["tee"] = json!("az-snp-vtpm");
    azure["evidence"]["tpm"] = json!({"pcr04": "0a"});
    azure
}

fn sample() -> Value {
    json!({"tee": "sample", "evidence": {"svn": "1"}, "init_data": {"tenant": "tenant-a"}})
}

/// What becomes of a request for `tenant-a/key/1` on 1 June 2026, under one rule.
fn check(rule: &str, who: Value, words: &str) {
    let text = format!("[[allow]]\nname = 'r'\nresources = ['tenant-a/key/*']\n{rule}");
    let now = at("2026-06-01T00:00:00Z");
    let (path, who) = (path("tenant-a/key/1"), claims(who));
    let said = decide(&policy(&text), &who, &path, now, &Counts::default()).explain();
    assert!(said.contains(words), "{rule}\n{who:?}\n{said}");
}

/// One of its claims, changed.
fn but(mut who: Value, name: &str, value: Value) -> Value {
    *who.pointer_mut(name).unwrap() = value;
    who
}

const ALLOWS: &str = "rule `r` allows it";

#[test]
fn without_conditions_a_rule_is_for_any_hardware_and_for_nothing_else() {
    check("", tdx(), ALLOWS);
    check("", snp(), ALLOWS);
    check("", sample(), "does not name it in `tee`");
    check("tee = ['snp']", sample(), "does not name it in `tee`");
    check(
        "tee = ['snp']",
        tdx(),
        "the TEE is tdx, and the rule is for `snp`",
    );
    check(
        "tee = ['sample']",
        tdx(),
        "the TEE is tdx, and the rule is for `sample`",
    );
    check(
        "tee = ['sample']",
        sample(),
        "proves nothing: anybody can make it)",
    );
}

#[test]
fn a_rule_says_what_has_to_run_there() {
    let measured = format!("measurements = ['{}']", MEASUREMENT.to_uppercase());
    let other = format!("measurements = ['{}']", MEASUREMENT.replace('9', "8"));
    let unmeasured = but(tdx(), "/evidence/mr_td", json!(null));
    check(&measured, tdx(), ALLOWS);
    check(&measured, snp(), ALLOWS);
    check(&measured, azure(), ALLOWS);
    check("evidence = { 'tpm.pcr04' = '0a' }", azure(), ALLOWS);
    let by_operator = but(azure(), "/evidence/signer", json!("vlek"));
    check("vlek = true", by_operator.clone(), ALLOWS);
    check(&measured, by_operator, "VLEK");
    check(&other, tdx(), "is none of those in the rule");
    check(&measured, unmeasured, "not there is none of");
    check("evidence = { rtmr_1 = '00' }", tdx(), ALLOWS);
    check("evidence = { rtmr_1 = ['01', '00'] }", tdx(), ALLOWS);
    check(
        "evidence = { rtmr_1 = '01' }",
        tdx(),
        "`rtmr_1` of the evidence is \"00\", which",
    );
    check("evidence = { 'reported_tcb.snp' = 20 }", snp(), ALLOWS);
}

#[test]
fn a_rule_says_what_it_has_to_be_started_with() {
    let a = "init_data = { tenant = 'tenant-a' }";
    let b = "init_data = { tenant = 'tenant-b' }";
    check(a, tdx(), ALLOWS);
    check(
        b,
        tdx(),
        "`tenant` of the init-data is \"tenant-a\", and has to be \"tenant-b\"",
    );
    check(a, snp(), "`tenant` of the init-data is not there");
    let of_sample = format!("tee = ['sample']\n{a}");
    check(&of_sample, sample(), "nobody measured or verified it)");
}

#[test]
fn a_rule_says_in_which_state_the_platform_may_be() {
    let tcb = |status: &str| but(tdx(), "/evidence/tcb/status", json!(status));
    check("", tcb("OutOfDate"), "is OutOfDate, which");
    check("tcb = ['OutOfDate']", tcb("OutOfDate"), ALLOWS);
    check("", tcb("Wonderful"), "is Revoked, which");
    check("at_least = { 'reported_tcb.snp' = 20 }", snp(), ALLOWS);
    check(
        "at_least = { 'reported_tcb.snp' = 21 }",
        snp(),
        "has to be at least 21",
    );
    check(
        "at_least = { 'reported_tcb.snp' = 1 }",
        tdx(),
        "is not there, and has to be",
    );
    let debug = |who: Value, value: Value| but(who, "/evidence/debug", value);
    check(
        "",
        debug(tdx(), json!(true)),
        "its host can look inside (debug)",
    );
    check(
        "",
        debug(snp(), json!(null)),
        "its host can look inside (debug)",
    );
    check("debug = true", debug(tdx(), json!(true)), ALLOWS);
    let vlek = || but(snp(), "/evidence/signer", json!("vlek"));
    check("", vlek(), "(VLEK)");
    check("vlek = true", vlek(), ALLOWS);
}

#[test]
fn a_rule_says_when() {
    check("from = 2026-06-01T00:00:00Z", tdx(), ALLOWS);
    check(
        "from = 2026-06-01T00:00:01Z",
        tdx(),
        "the rule holds from 2026-06-01T00:00:01Z",
    );
    check("until = 2026-06-01T00:00:00Z", tdx(), "the rule held until");
    check("until = 2026-06-01T02:00:01+02:00", tdx(), ALLOWS);
    check("at_most = { releases = 1, per = '1h' }", tdx(), ALLOWS);
}

#[test]
fn the_nearest_rule_is_the_one_about_this_resource_that_lacks_least() {
    let text = "
        [[allow]]
        name = 'elsewhere'
        resources = ['b/*']
        [[allow]]
        name = 'far'
        resources = ['a/*']
        tee = ['snp']
        init_data = { tenant = 'x', site = 'y' }
        [[allow]]
        name = 'near'
        resources = ['a/*']
        tee = ['snp']
    ";
    let now = at("2026-06-01T00:00:00Z");
    let decided = decide(
        &policy(text),
        &claims(tdx()),
        &path("a/b/c"),
        now,
        &Counts::default(),
    );
    let Decision::Deny(whys) = &decided else {
        panic!("{decided:?}");
    };
    let order: Vec<&str> = whys.iter().map(|why| why.rule.as_str()).collect();
    assert_eq!(order, ["near", "far", "elsewhere"]);
    assert_eq!(
        decided.explain(),
        "no rule allows it; the nearest is rule `near`: the TEE is tdx, and the rule is for `snp`"
    );
    let none = decide(
        &Policy::default(),
        &claims(tdx()),
        &path("a/b/c"),
        now,
        &Counts::default(),
    );
    assert!(none.explain().contains("KEYBROKER_POLICY"));
}

#[test]
fn a_mistake_has_a_line_and_a_way_out() {
    let rule =
        |line: &str| format!("# rules\n[[allow]]\nname = 'r'\nresources = ['a/*']\n{line}\n");
    let two = "tee = ['tdx']\n[[allow]]\nname = 'r'\nresources = ['a/*']";
    for (text, line, why) in [
        (rule("tea = ['tdx']"), 5, "unknown field `tea`"),
        (rule("tee = 'tdx'"), 5, "invalid type"),
        (rule("tee = ['sev']"), 5, "\"sev\": not a kind of TEE"),
        (rule("tee = []"), 5, "`tee` has to name something"),
        (
            rule("measurements = []"),
            5,
            "`measurements` has to name something",
        ),
        (
            rule("measurements = ['9a3f…']"),
            5,
            "64 or 96 hexadecimal digits",
        ),
        (rule("tcb = ['Fine']"), 5, "not a TCB status"),
        (rule("from = 2026-12-01"), 5, "with its offset"),
        (rule("from = 2026-12-01T00:00:00"), 5, "with its offset"),
        (
            rule("from = 2026-12-01T00:00:00Z\nuntil = 2026-12-01T00:00:00Z"),
            2,
            "before it begins",
        ),
        (
            rule("measurements = [\n'9a',\n]"),
            6,
            "\"9a\": a measurement is",
        ),
        (
            rule("[allow.at_most]\nreleases = 1\nper = '1y'"),
            7,
            "such as `30s`",
        ),
        (
            rule("at_most = { releases = 0, per = '1h' }"),
            5,
            "1 to 10000",
        ),
        (
            rule("at_most = { releases = 1, per = '1y' }"),
            5,
            "such as `30s`",
        ),
        (
            rule("at_most = { releases = 1, per = '32d' }"),
            5,
            "up to `31d`",
        ),
        (
            rule("at_most = { releases = 1, per = '1h', counted = 'x' }"),
            5,
            "by-workload",
        ),
        (rule("at_most = { releases = 1 }"), 5, "missing field `per`"),
        (rule("evidence = { x = [] }"), 5, "`evidence.x` has to be"),
        (
            rule("evidence = { x = { y = 1 } }"),
            5,
            "`evidence.x` has to be",
        ),
        (rule(two), 7, "two rules `r`"),
        (
            rule(&format!(
                "tee = ['sample', 'tdx']\nmeasurements = ['{MEASUREMENT}']"
            )),
            2,
            "evidence of kind `sample` can say anything",
        ),
        (
            rule("tee = ['sample']\nevidence = { svn = '1' }"),
            2,
            "can say anything",
        ),
        (
            rule("").replace("'a/*'", "'a'"),
            4,
            "a pattern of resources",
        ),
        (
            rule("").replace("'a/*'", ""),
            4,
            "`resources` has to name something",
        ),
        (rule("").replace("'r'", "''"), 3, "`name` has 1 to 128"),
        ("[allow]\nname = 'r'".to_owned(), 1, "invalid type"),
        ("[[deny]]".to_owned(), 1, "unknown field `deny`"),
    ] {
        let error = Policy::parse(&text).map(|_| ()).expect_err(&text);
        assert!(error.why.contains(why), "{text}\n{error}");
        assert_eq!(error.line, line, "{text}\n{error}");
    }
}

#[test]
fn what_is_counted_together_is_said_by_the_rule() {
    for (counted, same_resource, same_workload, expected) in [
        ("together", false, false, false),
        ("by-resource", true, false, false),
        ("by-resource", false, true, true),
        ("by-workload", false, true, false),
        ("by-workload", true, false, true),
    ] {
        let text = format!(
            "[[allow]]\nname = 'r'\nresources = ['*']\nat_most = {{ releases = 1, per = '1h', counted = '{counted}' }}"
        );
        let (who, now) = (claims(tdx()), at("2026-06-01T00:00:00Z"));
        let mut counts = Counts::default();
        counts.record(Release {
            at: at("2026-05-31T23:30:00Z"),
            rule: "r".into(),
            resource: if same_resource { "a/b/c" } else { "a/b/d" }.into(),
            workload: if same_workload {
                who.workload()
            } else {
                "another".into()
            },
        });
        let decided = |now| decide(&policy(&text), &who, &path("a/b/c"), now, &counts);
        let allowed = matches!(decided(now), Decision::Allow(_));
        assert_eq!(allowed, expected, "{counted}");
        // After an hour it is forgotten; and a clock that was put back gives nobody more.
        assert!(matches!(
            decided(at("2026-06-01T00:30:00Z")),
            Decision::Allow(_)
        ));
        let earlier = matches!(decided(at("2026-05-31T00:00:00Z")), Decision::Allow(_));
        assert_eq!(earlier, expected, "{counted}");
    }
}
