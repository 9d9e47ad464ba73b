//! What holds for all rules, whoever asks and whenever.

use super::*;

/// A rule, some of whose conditions are there.
fn any_rule(rng: &mut fastrand::Rng, index: usize) -> String {
    let mut text = format!("[[allow]]\nname = 'r{index}'\n");
    let resources = ["['*']", "['a/*']", "['a/b/c']", "['b/*', 'a/b/*']"];
    text += &format!("resources = {}\n", rng.choice(resources).unwrap());
    let tee = [
        "",
        "tee = ['tdx']",
        "tee = ['snp', 'tdx']",
        "tee = ['sample']",
        "tee = ['sample', 'snp']",
    ];
    let tee = rng.choice(tee).unwrap();
    text += &format!("{tee}\n");
    let conditions = [
        "init_data = { tenant = 'tenant-a' }",
        "from = 2026-06-01T00:00:00Z",
        "until = 2026-06-02T00:00:00Z",
        "debug = true",
        "at_most = { releases = 2, per = '10m' }",
    ];
    for condition in conditions.into_iter().filter(|_| rng.u8(..4) == 0) {
        text += &format!("{condition}\n");
    }
    if !tee.contains("sample") && rng.bool() {
        text += &format!("measurements = ['{MEASUREMENT}']\n");
    }
    text
}

#[test]
fn nothing_is_released_that_no_rule_allows_and_every_denial_says_why() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let whom = [tdx(), snp(), sample()].map(claims);
    for round in 0..2000 {
        let rules: Vec<String> = (0..rng.usize(..5))
            .map(|index| any_rule(&mut rng, index))
            .collect();
        let who = rng.choice(&whom).unwrap();
        let path = path(rng.choice(["a/b/c", "a/x/y", "b/b/c", "c/c/c"]).unwrap());
        let begun = at("2026-05-31T12:00:00Z").as_second();
        let now = Timestamp::from_second(begun + rng.i64(0..3 * 24 * 3600)).unwrap();
        let counts = Counts::default();
        let decided = |rules: &[String]| decide(&policy(&rules.concat()), who, &path, now, &counts);
        let at_fault = format!(
            "seed {seed}, round {round}\n{}{who:?} {path} {now}",
            rules.concat()
        );
        let all = decided(&rules);
        // The rules do not know of each other: together they allow what one of them allows.
        let alone: Vec<bool> = rules
            .iter()
            .map(|rule| matches!(decided(std::slice::from_ref(rule)), Decision::Allow(_)))
            .collect();
        match &all {
            Decision::Allow(allowed) => {
                let first = alone.iter().position(|allows| *allows);
                assert_eq!(
                    Some(format!("r{}", first.unwrap())),
                    Some(allowed.rule.clone()),
                    "{at_fault}"
                );
                let rule = &rules[first.unwrap()];
                if who.tee == Tee::Sample {
                    assert!(
                        rule.contains("sample") && !allowed.notes.is_empty(),
                        "{at_fault}"
                    );
                }
            }
            Decision::Deny(whys) => {
                assert!(!alone.contains(&true), "{at_fault}");
                assert_eq!(whys.len(), rules.len(), "{at_fault}");
                assert!(whys.iter().all(|why| !why.unmet.is_empty()), "{at_fault}");
                assert!(whys.is_sorted_by_key(Why::distance), "{at_fault}");
            }
        }
        assert!(!all.explain().is_empty());
    }
}

#[test]
fn no_span_of_time_has_more_releases_than_the_rule_says() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let policy =
        policy("[[allow]]\nname = 'r'\nresources = ['*']\nat_most = { releases = 3, per = '60s' }");
    let (who, path) = (claims(tdx()), path("a/b/c"));
    let (mut counts, mut released, mut second) = (Counts::default(), Vec::new(), 1_780_000_000);
    for _ in 0..3000 {
        second += rng.i64(0..40);
        let now = Timestamp::from_second(second).unwrap();
        if let Decision::Allow(allowed) = decide(&policy, &who, &path, now, &counts) {
            released.push(second);
            counts.record(Release {
                at: now,
                rule: allowed.rule,
                resource: path.to_string(),
                workload: who.workload(),
            });
        }
    }
    assert!(released.len() > 1000, "seed {seed}: {}", released.len());
    for four in released.windows(4) {
        assert!(four[3] - four[0] >= 60, "seed {seed}: {four:?}");
    }
}
