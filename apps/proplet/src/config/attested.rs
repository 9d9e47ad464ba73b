//! The settings for work that only a trusted execution environment may open.

use std::fs;
use std::path::PathBuf;

use propeller_attest::Tee;
use propeller_attest::attester::agent::Agent;
use propeller_attest::rcar::{KbsAddress, KbsOptions, KbsUri, TeeKey};
use propeller_settings::Settings;
use serde::Deserialize;

/// The longest file that is read: certificates, or the init-data of a guest.
const FILE_BYTES_MAX: u64 = 1 << 20;
const ALLOW_HTTP: &str = "PROPLET_KBS_ALLOW_HTTP=true";

/// What the settings say about it.
#[derive(Debug, Clone, Default)]
pub struct AttestedConfig {
    /// Whether there is a TEE; `None` finds out.
    pub enabled: Option<bool>,
    /// Who makes evidence; `None` is the one that is found.
    pub attester: Option<Asked>,
    /// Who releases keys.
    pub brokers: Vec<KbsOptions>,
    /// Where the key is if nobody says.
    pub default_key: Option<KbsUri>,
}

/// Who is asked for by name to make evidence.
#[derive(Debug, Clone)]
pub enum Asked {
    /// This process, of this kind.
    Kind(Tee),
    /// An attestation-agent on this machine.
    Agent(Agent),
}

/// The part of an attestation agent's configuration that matters here. What else is in it is that
/// program's affair.
#[derive(Debug, Default, Deserialize)]
struct AgentFile {
    #[serde(default)]
    token_configs: TokenConfigs,
}

#[derive(Debug, Default, Deserialize)]
struct TokenConfigs {
    kbs: Option<AgentKbs>,
}

#[derive(Debug, Deserialize)]
struct AgentKbs {
    url: String,
    cert: Option<String>,
    tee_key_algorithm: Option<String>,
}

/// What the settings say about it. What is wrong is noted in `settings`.
pub(super) fn read(settings: &mut Settings) -> AttestedConfig {
    let enabled = settings.parse("tee_enabled", |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("`true` or `false`, or leave it out"),
    });
    let attester = match settings.text("attester") {
        Some("agent") => settings
            .parse("attestation_agent", str::parse)
            .map(Asked::Agent),
        Some("auto") | None => None,
        Some(_) => settings.parse("attester", str::parse).map(Asked::Kind),
    };
    if settings.text("coco_keyprovider_address").is_some() {
        let warning = "PROPLET_COCO_KEYPROVIDER_ADDRESS is not asked: the key provider of \
                       Confidential Containers does not implement unwrapping (their \
                       confidential-data-hub does), so this proplet fetches keys from \
                       PROPLET_KBS_URI itself";
        settings.warnings.push(warning.to_owned());
    }
    AttestedConfig {
        enabled,
        brokers: match (brokers(settings), &attester) {
            (brokers, Some(Asked::Agent(_))) if brokers.len() > 1 => {
                let why =
                    "an attestation-agent has tokens of one key broker, its own: name that one";
                settings.invalid("kbs_uri", why.to_owned());
                brokers
            }
            (brokers, _) => brokers,
        },
        attester,
        default_key: settings.parse("kbs_resource_path", str::parse),
    }
}

fn brokers(settings: &mut Settings) -> Vec<KbsOptions> {
    let allow_http = settings.flag("kbs_allow_http");
    let roots = file(settings, "kbs_ca");
    let extra_roots: Vec<Vec<u8>> = roots.into_iter().map(String::into_bytes).collect();
    let init_data = init_data(settings);
    let agent = agent(settings);
    let (list, named) = match (settings.text("kbs_uri"), &agent) {
        (Some(list), _) => (list.to_owned(), "kbs_uri"),
        (None, Some(agent)) => (agent.url.clone(), "aa_config_path"),
        (None, None) => return Vec::new(),
    };
    // What the file says of its own broker says nothing about any other.
    let own = agent.as_ref();
    let own = own.and_then(|own| KbsAddress::parse(&own.url, allow_http, ALLOW_HTTP).ok());
    let mut brokers = Vec::new();
    for text in list
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        let address = match KbsAddress::parse(text, allow_http, ALLOW_HTTP) {
            Ok(address) => address,
            Err(error) => {
                settings.invalid(named, format!("{text}: {error}"));
                continue;
            }
        };
        let agent = agent.as_ref().filter(|_| own.as_ref() == Some(&address));
        let cert = agent.and_then(|agent| agent.cert.clone());
        brokers.push(KbsOptions {
            tee_key: agent.map_or_else(TeeKey::default, |agent| tee_key(settings, agent)),
            extra_roots: extra_roots
                .iter()
                .cloned()
                .chain(cert.map(String::into_bytes))
                .collect(),
            init_data: init_data.clone(),
            address,
        });
    }
    brokers
}

fn tee_key(settings: &mut Settings, agent: &AgentKbs) -> TeeKey {
    let Some(name) = &agent.tee_key_algorithm else {
        return TeeKey::default();
    };
    name.parse().unwrap_or_else(|expected| {
        let why = format!("`tee_key_algorithm` has to be {expected}");
        settings.invalid("aa_config_path", why);
        TeeKey::default()
    })
}

fn agent(settings: &mut Settings) -> Option<AgentKbs> {
    let text = file(settings, "aa_config_path")?;
    match toml::from_str::<AgentFile>(&text) {
        Ok(agent) => {
            if agent.token_configs.kbs.is_none() && settings.text("kbs_uri").is_none() {
                let why = "it has no section [token_configs.kbs], whose `url` is where the key \
                           broker is";
                settings.invalid("aa_config_path", why.to_owned());
            }
            agent.token_configs.kbs
        }
        Err(error) => {
            settings.invalid("aa_config_path", error.message().to_owned());
            None
        }
    }
}

/// What brokers hold against the evidence, each time: what is no TOML they all refuse.
fn init_data(settings: &mut Settings) -> Option<String> {
    let text = file(settings, "kbs_init_data")?;
    match toml::from_str::<toml::Table>(&text) {
        Ok(_) => Some(text),
        Err(error) => {
            let why = format!(
                "what PROPLET_KBS_INIT_DATA names is no TOML: {}",
                error.message()
            );
            settings.invalid("kbs_init_data", why);
            None
        }
    }
}

fn file(settings: &mut Settings, name: &'static str) -> Option<String> {
    let path: PathBuf = settings.path(name)?;
    let too_long = |bytes: u64| (bytes > FILE_BYTES_MAX).then_some("it is too long");
    let read = fs::metadata(&path).map_err(|error| error.to_string());
    let read = read.and_then(|meta| match too_long(meta.len()) {
        Some(why) => Err(why.to_owned()),
        None => fs::read_to_string(&path).map_err(|error| error.to_string()),
    });
    read.map_err(|why| settings.invalid(name, format!("cannot read {}: {why}", path.display())))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::images::tests::configured;

    const OWN: &str = "https://kbs.example:8080";
    const OTHER: &str = "https://other.example";

    /// The configuration of an agent, in a folder that goes with it.
    fn agent_file(folder: &Path, rest: &str) -> String {
        let path = folder.join("aa.toml");
        let text = format!("[token_configs.kbs]\nurl = \"{OWN}/\"\n{rest}");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn what_an_agents_file_says_of_its_broker_counts_for_that_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = agent_file(
            folder.path(),
            "cert = \"a root\"\ntee_key_algorithm = \"RSA-OAEP-256\"",
        );
        let own = (OWN, vec![b"a root".to_vec()], TeeKey::Rsa2048);
        let other = (OTHER, Vec::new(), TeeKey::default());
        let both = format!("{OTHER},{OWN}");
        for (uri, expected) in [
            (None, vec![own.clone()]),
            (Some(OWN), vec![own.clone()]),
            (Some(OTHER), vec![other.clone()]),
            (Some(&both), vec![other, own]),
        ] {
            let mut flags = vec![("aa_config_path", &*file)];
            flags.extend(uri.map(|uri| ("kbs_uri", uri)));
            let brokers = configured(&flags).unwrap().attested.brokers;
            let found = brokers.into_iter().map(|broker| {
                let address = broker.address.to_string();
                (address, broker.extra_roots, broker.tee_key)
            });
            let expected = expected.into_iter();
            let expected = expected.map(|(url, roots, key)| (url.to_owned(), roots, key));
            assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn init_data_that_no_broker_reads_is_refused_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("init.toml");
        let file = path.to_str().unwrap();
        let flags = [("kbs_uri", OWN), ("kbs_init_data", file)];
        fs::write(&path, "not TOML").unwrap();
        let refused = configured(&flags).unwrap_err();
        assert!(refused.contains("PROPLET_KBS_INIT_DATA"), "{refused}");
        let text = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n";
        fs::write(&path, text).unwrap();
        let brokers = configured(&flags).unwrap().attested.brokers;
        assert_eq!(brokers[0].init_data.as_deref(), Some(text));
    }

    #[test]
    fn a_kind_of_key_that_there_is_not_matters_where_it_would_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = agent_file(folder.path(), "tee_key_algorithm = \"none\"");
        let agent = ("aa_config_path", &*file);
        let refused = configured(&[agent]).unwrap_err();
        assert!(
            refused.contains("`tee_key_algorithm` has to be"),
            "{refused}"
        );
        assert!(configured(&[agent, ("kbs_uri", OTHER)]).is_ok());
    }
}
