//! Init-data: configuration that a host measures into a guest at its launch, in TOML.
//!
//! Its digest is over the bytes of the text. Where the platform has room for one (TDX: MRCONFIGID,
//! SEV-SNP: HOSTDATA), evidence is held against it; sample evidence has none, and what comes with it
//! is only said.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{self, Algorithm, digest};
use data_encoding::HEXLOWER;
use propeller_attest::rcar;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Its values are part of every token, and tokens are headers.
const BODY_BYTES_MAX: usize = 32 * 1024;
/// Files of the guest's agents, which policies of others know as JSON.
const FILES: [&str; 2] = ["aa.toml", "cdh.toml"];

/// Why init-data cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InitDataError {
    #[error("Unsupported initdata format: only `toml` is")]
    Format,
    #[error("init-data of more than {BODY_BYTES_MAX} bytes")]
    TooLong,
    #[error("init-data: {0}")]
    Malformed(String),
    #[error("init-data of another version than 0.1.0")]
    Version,
    #[error("the algorithm of init-data is `sha256`, `sha384` or `sha512`")]
    Algorithm,
}

/// Init-data that has been read. What it says is not verified by that.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InitData {
    pub(crate) digest: Vec<u8>,
    pub(crate) values: Map<String, Value>,
}

/// Other members are the writer's affair: the digest covers them.
#[derive(Deserialize)]
struct Document {
    version: String,
    algorithm: String,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl InitData {
    pub(crate) fn read(sent: &rcar::InitData) -> Result<Self, InitDataError> {
        let rcar::InitData { format, body } = sent;
        if format != "toml" {
            return Err(InitDataError::Format);
        }
        if body.len() > BODY_BYTES_MAX {
            return Err(InitDataError::TooLong);
        }
        let malformed =
            |error: toml::de::Error| InitDataError::Malformed(error.message().to_owned());
        let document: Document = toml::from_str(body).map_err(malformed)?;
        if document.version != "0.1.0" {
            return Err(InitDataError::Version);
        }
        let algorithm = algorithm(&document.algorithm).ok_or(InitDataError::Algorithm)?;
        let mut values = Map::new();
        for (name, text) in document.data {
            let value = match FILES.contains(&name.as_str()) {
                true => toml::from_str(&text).map_err(malformed)?,
                false => Value::String(text),
            };
            values.insert(name, value);
        }
        Ok(Self {
            digest: digest(algorithm, body.as_bytes()).as_ref().to_vec(),
            values,
        })
    }

    pub(crate) fn digest_hex(&self) -> String {
        HEXLOWER.encode(&self.digest)
    }
}

fn algorithm(name: &str) -> Option<&'static Algorithm> {
    Some(match name {
        "sha256" => &digest::SHA256,
        "sha384" => &digest::SHA384,
        "sha512" => &digest::SHA512,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(format: &str, body: &str) -> Result<InitData, InitDataError> {
        InitData::read(&rcar::InitData {
            format: format.to_owned(),
            body: body.to_owned(),
        })
    }

    const HEAD: &str = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n";

    #[test]
    fn values_are_texts_and_files_of_agents_are_json() {
        let body = format!(
            "{HEAD}[data]\ntenant = \"tenant-a\"\n\"aa.toml\" = '''\n[token_configs.kbs]\nurl = \"u\"\n'''\n"
        );
        let read = read("toml", &body).unwrap();
        let kbs = json!({"token_configs": {"kbs": {"url": "u"}}});
        assert_eq!(
            Value::Object(read.values),
            json!({"tenant": "tenant-a", "aa.toml": kbs})
        );
        assert_eq!(
            read.digest,
            digest(&digest::SHA256, body.as_bytes()).as_ref()
        );
    }

    #[test]
    fn what_others_do_not_read_is_refused_here_too() {
        let cases = [
            ("json", "{}".to_owned(), "Unsupported initdata format"),
            ("toml", "version = 1".to_owned(), "init-data: "),
            ("toml", HEAD.replace("0.1.0", "0.2.0"), "another version"),
            ("toml", HEAD.replace("sha256", "md5"), "sha384"),
            ("toml", format!("{HEAD}[data]\nx = 1"), "init-data: "),
            (
                "toml",
                format!("{HEAD}#{}", "x".repeat(BODY_BYTES_MAX)),
                "more than",
            ),
        ];
        for (format, body, why) in cases {
            let refused = read(format, &body).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
