//! The release of the key of one image: which key it is, who keeps it, and what is sent for.

use std::collections::BTreeSet;
use std::time::Duration;

use propeller_attest::rcar::{KbsError, KbsUri, key_bytes, private_key};
use propeller_oci::crypt::{Keys, WrappingKey, key_ids, recipients};
use propeller_oci::manifest::Manifest;
use propeller_wire::message::Steps;
use tracing::info;
use zeroize::Zeroizing;

use super::Attesting;

/// An honest image has one key, or one for each of a few layers.
const KEYS_MAX: usize = 8;

/// The release of the keys of one image, for one attempt.
#[derive(Debug)]
pub(crate) struct Release<'a> {
    attesting: &'a Attesting,
    /// Where the task says that the key is; empty if it does not.
    asked: &'a str,
    released: Released,
}

/// What was released.
#[derive(Debug, Default)]
pub(super) struct Released {
    /// Where the keys came from.
    pub(super) key: String,
    /// What that took.
    pub(super) steps: Steps,
}

/// Why nothing was.
#[derive(Debug)]
pub(crate) struct NotReleased {
    pub(crate) text: String,
    /// Whether another try may come to something else.
    pub(crate) may_pass: bool,
}

/// What a key is for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// The private key of an image that is encrypted to its public half.
    Private(KbsUri),
    /// What wraps the keys of layers: as the image writes it, and where it is.
    Wrapping(Vec<(String, KbsUri)>),
}

impl<'a> Release<'a> {
    pub(super) fn new(attesting: &'a Attesting, asked: &'a str) -> Self {
        Self {
            attesting,
            asked,
            released: Released::default(),
        }
    }

    pub(super) fn released(self) -> Released {
        self.released
    }

    /// The keys of an image, by what its manifest says. Of the image itself nothing was fetched yet.
    pub(crate) async fn keys(&mut self, manifest: &Manifest) -> Result<Keys, NotReleased> {
        let default = self.attesting.default_key.as_ref();
        match wanted(manifest, self.asked, default)? {
            Wanted::Private(uri) => {
                let secret = self.fetch(&uri).await?;
                let key = private_key(&secret).map_err(|error| unusable(&uri, &error))?;
                Ok(Keys {
                    private: [key].into(),
                    ..Keys::default()
                })
            }
            Wanted::Wrapping(wanted) => {
                let mut keys = Vec::new();
                for (id, uri) in wanted {
                    let secret = self.fetch(&uri).await?;
                    let key = key_bytes(&secret).map_err(|error| unusable(&uri, &error))?;
                    keys.push(WrappingKey::new(id, key));
                }
                Ok(Keys {
                    wrapping: keys.into(),
                    ..Keys::default()
                })
            }
        }
    }

    async fn fetch(&mut self, uri: &KbsUri) -> Result<Zeroizing<Vec<u8>>, NotReleased> {
        let kbs = self.attesting.broker(uri)?;
        let got = kbs.resource(&uri.path).await?;
        let Released { key, steps } = &mut self.released;
        steps.evidence_us += micros(got.steps.evidence);
        steps.token_us += micros(got.steps.token);
        steps.key_us += micros(got.steps.resource);
        if !key.is_empty() {
            key.push_str(", ");
        }
        key.push_str(&uri.to_string());
        info!(target: "security", kbs = %kbs.address(), path = %uri.path, "a key was released to this proplet");
        Ok(got.secret)
    }
}

/// Which keys are needed. Where both the image and the task name one, they have to agree: otherwise
/// whoever has a hand in either could choose another.
fn wanted(
    manifest: &Manifest,
    asked: &str,
    default: Option<&KbsUri>,
) -> Result<Wanted, NotReleased> {
    let ids: BTreeSet<String> = manifest
        .layers
        .iter()
        .flat_map(|layer| key_ids(&layer.annotations))
        .collect();
    if ids.len() > KEYS_MAX {
        let text = format!(
            "the image names {} keys, at most {KEYS_MAX} are asked for",
            ids.len()
        );
        return Err(NotReleased::for_good(text));
    }
    let to_private = manifest
        .layers
        .iter()
        .flat_map(|layer| recipients(&layer.annotations))
        .any(|line| line.starts_with("jwe "));
    let parsed = |text: &str| {
        text.parse::<KbsUri>()
            .map_err(|error| NotReleased::for_good(error.to_string()))
    };
    let asked = match asked {
        "" => None,
        text => Some(parsed(text)?),
    };
    let mut named = Vec::new();
    for id in ids {
        let uri = parsed(&id)?;
        named.push((id, uri));
    }
    match (asked, named.is_empty()) {
        (None, false) => Ok(Wanted::Wrapping(named)),
        (Some(asked), false) if named.iter().all(|(_, uri)| agree(uri, &asked)) => {
            let known = |(id, uri): (String, KbsUri)| match &uri.host {
                None => (id, asked.clone()),
                Some(_) => (id, uri),
            };
            Ok(Wanted::Wrapping(named.into_iter().map(known).collect()))
        }
        (Some(asked), false) if !to_private => {
            let (id, _) = &named[0];
            let text = format!("its key is {id}, and the task says {asked}: they have to agree");
            Err(NotReleased::for_good(text))
        }
        (Some(asked), _) => Ok(Wanted::Private(asked)),
        (None, true) => match default {
            Some(default) => Ok(Wanted::Private(default.clone())),
            None => Err(NotReleased::for_good(
                "nobody says where its key is kept: set kbs_resource_path of the task, or \
                 PROPLET_KBS_RESOURCE_PATH"
                    .to_owned(),
            )),
        },
    }
}

/// Whether two addresses mean one key: the broker need not be named in both.
fn agree(one: &KbsUri, other: &KbsUri) -> bool {
    let hosts = one.host.is_none() || other.host.is_none() || one.host == other.host;
    hosts && one.path == other.path
}

fn unusable(uri: &KbsUri, why: &dyn std::error::Error) -> NotReleased {
    NotReleased::for_good(format!("the key {uri}: {why}"))
}

impl NotReleased {
    fn for_good(text: String) -> Self {
        Self {
            text,
            may_pass: false,
        }
    }
}

impl From<KbsError> for NotReleased {
    fn from(error: KbsError) -> Self {
        let may_pass = matches!(error, KbsError::Network { .. } | KbsError::Busy { .. });
        Self {
            text: propeller_oci::chain(&error),
            may_pass,
        }
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
