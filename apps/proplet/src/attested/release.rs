//! The release of the key of one image: which key it is, who keeps it, and what is sent for.

use std::collections::BTreeMap;
use std::time::Duration;

use propeller_attest::rcar::{KbsError, KbsUri, key_bytes, private_key};
use propeller_oci::crypt::{Keys, PrivateKey, WrappingKey, is_for_private_keys, key_ids};
use propeller_oci::manifest::Manifest;
use propeller_wire::message::Steps;
use tracing::info;
use zeroize::Zeroizing;

use super::Attesting;

/// An honest image has one key, or one for each of a few layers.
const KEYS_MAX: usize = 8;

/// The release of the keys of one image, for one attempt.
pub(crate) struct Release<'a> {
    attesting: &'a Attesting,
    /// Where the task says that the key is; empty if it does not.
    asked: &'a str,
    released: Released,
    secrets: Vec<(KbsUri, Zeroizing<Vec<u8>>)>,
}

/// What was released.
#[derive(Debug, Default)]
pub(super) struct Released {
    private: Vec<PrivateKey>,
    wrapping: Vec<WrappingKey>,
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

/// What opens one layer: whichever of these is released first.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// The private key of an image that is encrypted to its public half.
    Private(KbsUri),
    /// What wraps the layer's key: as the image writes it, and where it is.
    Wrapping(Vec<(String, KbsUri)>),
}

impl<'a> Release<'a> {
    pub(super) fn new(attesting: &'a Attesting, asked: &'a str) -> Self {
        Self {
            attesting,
            asked,
            released: Released::default(),
            secrets: Vec::new(),
        }
    }

    pub(super) fn released(self) -> Released {
        self.released
    }

    /// The keys of an image, by what its manifest says. Of the image itself nothing was fetched yet.
    pub(crate) async fn keys(&mut self, manifest: &Manifest) -> Result<Keys, NotReleased> {
        let layers = manifest.layers.iter().filter(|layer| layer.is_encrypted());
        let layers = layers.map(|layer| Layer::of(&layer.annotations));
        let default = self.attesting.default_key.as_ref();
        for wanted in wanted(layers, self.asked, default)? {
            self.release(wanted).await?;
        }
        let Released {
            private, wrapping, ..
        } = &mut self.released;
        Ok(Keys {
            private: std::mem::take(private).into(),
            wrapping: std::mem::take(wrapping).into(),
        })
    }

    /// Notes what decrypting the image took.
    pub(crate) fn decrypted_in(&mut self, time: Duration) {
        self.released.steps.decrypt_us += micros(time);
    }

    async fn release(&mut self, wanted: Wanted) -> Result<(), NotReleased> {
        let from = match wanted {
            Wanted::Private(uri) => {
                let secret = self.fetch(&uri).await?;
                let key = private_key(&secret).map_err(|error| unusable(&uri, &error))?;
                self.released.private.push(key);
                return Ok(());
            }
            Wanted::Wrapping(from) => from,
        };
        let mut failed = None;
        for (id, uri) in from {
            match self.fetch(&uri).await {
                Ok(secret) => {
                    let key = key_bytes(&secret).map_err(|error| unusable(&uri, &error))?;
                    self.released.wrapping.push(WrappingKey::new(id, key));
                    return Ok(());
                }
                // Another recipient's may be released.
                Err(why) => failed = Some(why),
            }
        }
        Err(failed.unwrap_or_else(|| NotReleased::for_good("nobody keeps its key".to_owned())))
    }

    async fn fetch(&mut self, uri: &KbsUri) -> Result<Zeroizing<Vec<u8>>, NotReleased> {
        // Where the image is asked for once more, elsewhere, its key is here already.
        if let Some((_, secret)) = self.secrets.iter().find(|(known, _)| known == uri) {
            return Ok(secret.clone());
        }
        let kbs = self.attesting.broker(uri)?;
        let got = kbs.resource(&uri.path).await?;
        let Released { key, steps, .. } = &mut self.released;
        steps.evidence_us += micros(got.steps.evidence);
        steps.token_us += micros(got.steps.token);
        steps.key_us += micros(got.steps.resource);
        if !key.is_empty() {
            key.push_str(", ");
        }
        key.push_str(&uri.to_string());
        info!(target: "security", kbs = %kbs.address(), path = %uri.path, "a key was released to this proplet");
        self.secrets.push((uri.clone(), got.secret.clone()));
        Ok(got.secret)
    }
}

/// What the annotations of an encrypted layer say about its key.
#[derive(Debug, Default)]
struct Layer {
    /// Where key providers keep keys that open it.
    ids: Vec<String>,
    /// Whether a private key opens it as well.
    to_private: bool,
}

impl Layer {
    fn of(annotations: &BTreeMap<String, String>) -> Self {
        Self {
            ids: key_ids(annotations),
            to_private: is_for_private_keys(annotations),
        }
    }
}

/// Which keys are needed, for one layer after another. Where both the image and the task name one,
/// they have to agree: otherwise whoever has a hand in either could choose another.
fn wanted(
    layers: impl IntoIterator<Item = Layer>,
    asked: &str,
    default: Option<&KbsUri>,
) -> Result<Vec<Wanted>, NotReleased> {
    let asked = match asked {
        "" => None,
        text => Some(parsed(text)?),
    };
    let mut all: Vec<Wanted> = Vec::new();
    for layer in layers {
        let wanted = layer.wanted(asked.as_ref(), default)?;
        if !all.contains(&wanted) {
            all.push(wanted);
        }
    }
    match all.len() > KEYS_MAX {
        true => Err(NotReleased::for_good(format!(
            "its layers have {} keys, at most {KEYS_MAX} are asked for",
            all.len()
        ))),
        false => Ok(all),
    }
}

impl Layer {
    fn wanted(
        self,
        asked: Option<&KbsUri>,
        default: Option<&KbsUri>,
    ) -> Result<Wanted, NotReleased> {
        let Self { ids, to_private } = self;
        if ids.len() > KEYS_MAX {
            let text = format!(
                "a layer names {} keys, at most {KEYS_MAX} are asked for",
                ids.len()
            );
            return Err(NotReleased::for_good(text));
        }
        let mut named = Vec::new();
        for id in ids {
            let uri = parsed(&id)?;
            named.push((id, uri));
        }
        let Some(asked) = asked else {
            return match (named.is_empty(), default) {
                (false, _) => Ok(Wanted::Wrapping(named)),
                (true, Some(default)) => Ok(Wanted::Private(default.clone())),
                (true, None) => Err(NotReleased::for_good(
                    "nobody says where its key is kept: set kbs_resource_path of the task, or \
                     PROPLET_KBS_RESOURCE_PATH"
                        .to_owned(),
                )),
            };
        };
        let first = named.first().map(|(id, _)| id.clone());
        let agreeing: Vec<_> = named
            .into_iter()
            .filter(|(_, uri)| agree(uri, asked))
            .map(|(id, uri)| match &uri.host {
                None => (id, asked.clone()),
                Some(_) => (id, uri),
            })
            .collect();
        match (agreeing.is_empty(), first) {
            (false, _) => Ok(Wanted::Wrapping(agreeing)),
            (true, Some(first)) if !to_private => Err(NotReleased::for_good(format!(
                "its key is {first}, and the task says {asked}: they have to agree"
            ))),
            (true, _) => Ok(Wanted::Private(asked.clone())),
        }
    }
}

fn parsed(text: &str) -> Result<KbsUri, NotReleased> {
    text.parse::<KbsUri>()
        .map_err(|error| NotReleased::for_good(error.to_string()))
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
        Self {
            text: propeller_oci::chain(&error),
            may_pass: error.may_pass(),
        }
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> KbsUri {
        text.parse().unwrap()
    }

    fn layer(ids: &[&str], to_private: bool) -> Layer {
        Layer {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            to_private,
        }
    }

    fn want(layers: Vec<Layer>, asked: &str, default: Option<&str>) -> Result<Vec<Wanted>, String> {
        let default = default.map(uri);
        wanted(layers, asked, default.as_ref()).map_err(|why| why.text)
    }

    fn wrapping(id: &str, at: &str) -> Wanted {
        Wanted::Wrapping(vec![(id.to_owned(), uri(at))])
    }

    const ID: &str = "kbs:///default/key/wrap";

    #[test]
    fn an_image_for_a_provider_names_its_key_itself() {
        assert_eq!(
            want(vec![layer(&[ID], false)], "", None),
            Ok(vec![wrapping(ID, ID)])
        );
        // Also in the forms of tools that leave the scheme out, and with the broker of the task.
        let id = "/default/key/wrap";
        let asked = "kbs://kbs.example/default/key/wrap";
        assert_eq!(
            want(vec![layer(&[id], false)], asked, None),
            Ok(vec![wrapping(id, asked)])
        );
    }

    #[test]
    fn an_image_for_a_private_key_needs_somebody_who_says_where_that_is() {
        let image = || vec![layer(&[], true)];
        let private = |path| Ok(vec![Wanted::Private(uri(path))]);
        assert_eq!(want(image(), "a/b/c", Some("d/e/f")), private("a/b/c"));
        assert_eq!(want(image(), "", Some("d/e/f")), private("d/e/f"));
        assert!(
            want(image(), "", None)
                .unwrap_err()
                .contains("nobody says where its key is kept")
        );
        assert!(want(image(), "not a path", None).is_err());
    }

    #[test]
    fn image_and_task_have_to_agree_unless_the_image_opens_with_a_private_key_too() {
        let why = want(vec![layer(&[ID], false)], "default/key/other", None).unwrap_err();
        assert!(why.contains("they have to agree"), "{why}");
        let both = vec![layer(&[ID], true)];
        let other = Ok(vec![Wanted::Private(uri("default/key/other"))]);
        assert_eq!(want(both, "default/key/other", None), other);
        let elsewhere = "kbs://one.example/default/key/wrap";
        let asked = "kbs://other.example/default/key/wrap";
        assert!(want(vec![layer(&[elsewhere], false)], asked, None).is_err());
    }

    #[test]
    fn of_several_recipients_any_will_do_and_the_one_that_the_task_names_goes_first() {
        let other = "kbs:///default/key/other";
        let both = || vec![layer(&[other, ID], false)];
        assert_eq!(
            want(both(), "default/key/wrap", None),
            Ok(vec![wrapping(ID, ID)])
        );
        let any = Wanted::Wrapping(vec![
            (other.to_owned(), uri(other)),
            (ID.to_owned(), uri(ID)),
        ]);
        assert_eq!(want(both(), "", None), Ok(vec![any]));
    }

    #[test]
    fn layers_with_one_key_ask_for_it_once_and_with_many_for_a_few() {
        let same = vec![layer(&[ID], false), layer(&[ID], false)];
        assert_eq!(want(same, "", None).map(|all| all.len()), Ok(1));
        let ids: Vec<String> = (0..9).map(|n| format!("kbs:///default/key/{n}")).collect();
        let many = ids.iter().map(|id| layer(&[id], false)).collect();
        assert!(want(many, "", None).unwrap_err().contains("at most 8"));
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert!(
            want(vec![layer(&ids, false)], "", None)
                .unwrap_err()
                .contains("at most 8")
        );
    }
}
