//! Settings about a TEE that another one contradicts: an operator who asks for what is not done has
//! to know before anything runs.

use propeller_settings::Settings;

/// What is ours, and means nothing where nothing is encrypted.
const NOT_IN_PLAIN: [&str; 5] = [
    "attester",
    "attestation_agent",
    "kbs_allow_http",
    "kbs_ca",
    "kbs_init_data",
];
/// What fleets of upstream's proplets have set, in plain mode as well.
const UNUSED_IN_PLAIN: [&str; 3] = ["kbs_uri", "kbs_resource_path", "aa_config_path"];

/// Notes in `settings` what does not go together.
pub(super) fn check(settings: &mut Settings, plaintext: bool) {
    if plaintext {
        hold_against_plain_mode(settings);
    } else if !cfg!(feature = "tee") {
        hold_against_this_build(settings);
    }
    let attester = settings.text("attester").unwrap_or_default().to_owned();
    if settings.text("tee_enabled") == Some("false") && is_chosen(settings, "attester") {
        let why = "PROPLET_TEE_ENABLED=false has nobody attest: unset one of the two";
        settings.invalid("attester", why.to_owned());
    }
    if settings.text("tee_enabled") == Some("true") && attester == "sample" {
        let why = "`sample` is no TEE, which PROPLET_TEE_ENABLED=true wants: unset one of the two";
        settings.invalid("attester", why.to_owned());
    }
    if settings.is_set("attestation_agent") && attester != "agent" {
        let why = "no agent is asked without PROPLET_ATTESTER=agent: set that, or unset this";
        settings.invalid("attestation_agent", why.to_owned());
    }
}

fn hold_against_plain_mode(settings: &mut Settings) {
    if settings.text("tee_enabled") == Some("true") {
        let why = "in plain mode nothing is encrypted: unset PROPLET_PLAINTEXT";
        settings.invalid("tee_enabled", why.to_owned());
    }
    for name in NOT_IN_PLAIN {
        if is_chosen(settings, name) {
            let why = "in plain mode nobody attests: unset it, or PROPLET_PLAINTEXT";
            settings.invalid(name, why.to_owned());
        }
    }
    for name in UNUSED_IN_PLAIN {
        if settings.is_set(name) {
            let variable = format!("PROPLET_{}", name.to_uppercase());
            let warning = format!("{variable} is not used in plain mode: nothing is encrypted");
            settings.warnings.push(warning);
        }
    }
}

fn hold_against_this_build(settings: &mut Settings) {
    let enabled = settings.text("tee_enabled") == Some("true");
    let asked = [
        ("tee_enabled", enabled),
        ("attester", is_chosen(settings, "attester")),
    ];
    for (name, _) in asked.into_iter().filter(|(_, asked)| *asked) {
        let why = "this proplet was built without the cargo feature `tee`";
        settings.invalid(name, why.to_owned());
    }
}

/// Whether somebody has set more than what holds anyway.
fn is_chosen(settings: &Settings, name: &str) -> bool {
    let is_default = matches!(settings.text(name), None | Some("auto" | "false"));
    settings.is_set(name) && !is_default
}

#[cfg(test)]
mod tests {
    use crate::config::images::tests::configured;

    fn check(flags: &[(&str, &str)], variables: [&str; 2]) {
        let refused = configured(flags).unwrap_err();
        for variable in variables {
            assert!(refused.contains(variable), "{refused}");
        }
    }

    #[test]
    fn nobody_attests_in_plain_mode() {
        let sample = [
            ("plaintext", "true"),
            ("attester", "sample"),
            ("kbs_uri", "https://kbs.example"),
        ];
        check(&sample, ["PROPLET_ATTESTER", "PROPLET_PLAINTEXT"]);
        let required = [("plaintext", "true"), ("tee_enabled", "true")];
        check(&required, ["PROPLET_TEE_ENABLED", "PROPLET_PLAINTEXT"]);
    }

    #[test]
    fn upstreams_key_broker_does_not_keep_a_plain_proplet_from_starting() {
        let config = configured(&[
            ("plaintext", "true"),
            ("attester", "auto"),
            ("kbs_uri", "https://kbs.example"),
        ]);
        let warnings = config.unwrap().warnings;
        let expected = "PROPLET_KBS_URI is not used in plain mode: nothing is encrypted";
        assert_eq!(warnings, [expected]);
    }

    #[test]
    fn nobody_attests_where_no_tee_is_to_be_used() {
        let names = ["PROPLET_ATTESTER", "PROPLET_TEE_ENABLED"];
        check(&[("tee_enabled", "false"), ("attester", "sample")], names);
        check(&[("tee_enabled", "false"), ("attester", "agent")], names);
        assert!(configured(&[("tee_enabled", "false"), ("attester", "auto")]).is_ok());
    }

    #[test]
    fn evidence_that_proves_nothing_is_none_of_a_tee_that_has_to_be_there() {
        let names = ["PROPLET_ATTESTER", "PROPLET_TEE_ENABLED"];
        check(&[("tee_enabled", "true"), ("attester", "sample")], names);
    }

    #[test]
    fn an_agent_is_named_where_one_is_asked() {
        // Which agents are asked with.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let agent = ("attestation_agent", "127.0.0.1:50010");
        let names = ["PROPLET_ATTESTATION_AGENT", "PROPLET_ATTESTER"];
        check(&[agent], names);
        check(&[agent, ("attester", "sample")], names);
        let asked = configured(&[agent, ("attester", "agent")]);
        assert_eq!(asked.is_ok(), cfg!(feature = "tee"), "{asked:?}");
    }
}
