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
const ALLOW_HTTP: &str = "PROPLET_KBS_ALLOW_HTTP";

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
    let init_data = file(settings, "kbs_init_data");
    let agent = agent(settings);
    let mut extra_roots: Vec<Vec<u8>> = roots.into_iter().map(String::into_bytes).collect();
    let mut tee_key = TeeKey::default();
    let mut list = settings.text("kbs_uri").unwrap_or_default().to_owned();
    let mut named = "kbs_uri";
    if let Some(agent) = agent {
        if list.is_empty() {
            (list, named) = (agent.url, "aa_config_path");
        }
        extra_roots.extend(agent.cert.map(String::into_bytes));
        if let Some(name) = agent.tee_key_algorithm {
            match name.parse() {
                Ok(key) => tee_key = key,
                Err(expected) => {
                    let why = format!("`tee_key_algorithm` has to be {expected}");
                    settings.invalid("aa_config_path", why);
                }
            }
        }
    }
    let mut brokers = Vec::new();
    for address in list
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        match KbsAddress::parse(address, allow_http, ALLOW_HTTP) {
            Ok(address) => brokers.push(KbsOptions {
                address,
                extra_roots: extra_roots.clone(),
                tee_key,
                init_data: init_data.clone(),
            }),
            Err(error) => settings.invalid(named, format!("{address}: {error}")),
        }
    }
    brokers
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
