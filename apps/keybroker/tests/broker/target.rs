//! Whichever broker the tests of the protocol are for.

use std::time::{SystemTime, UNIX_EPOCH};

use propeller_attest::rcar::KbsAddress;
use propeller_attest::rcar::admin::{Admin, AdminKey};
use serde_json::json;

use super::bed::{Bed, OPEN};
use super::guest::{Answer, Guest};

/// The same rule as [`OPEN`], in the words of Trustee.
const REGO: &str = r#"
package policy
import rego.v1
default allow := false
allow if {
	data.plugin == "resource"
	data["resource-path"][0] == "propeller-test"
	data["resource-path"][1] == "allowed"
}
"#;

pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    /// Signs for the role that may do everything.
    key: AdminKey,
    role: String,
    /// As long as it is ours.
    bed: Option<Bed>,
}

impl Target {
    pub(crate) async fn new() -> Self {
        let Some(url) = variable("PROPELLER_TEST_KBS") else {
            let bed = Bed::new(OPEN).await;
            return Self {
                url: bed.broker().url().to_owned(),
                http: bed.http.clone(),
                key: bed.admin.admin_key(),
                role: "admin".to_owned(),
                bed: Some(bed),
            };
        };
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let file = variable("PROPELLER_TEST_KBS_ADMIN_KEY").expect("the administrator's key");
        let pem = std::fs::read(file).expect("the administrator's key");
        let target = Self {
            url: url.trim_end_matches('/').to_owned(),
            http: reqwest::Client::new(),
            key: AdminKey::from_pem(&pem).unwrap(),
            role: variable("PROPELLER_TEST_KBS_ADMIN_ROLE").unwrap_or_else(|| "admin".to_owned()),
            bed: None,
        };
        target.set_policy().await;
        target
    }

    async fn set_policy(&self) {
        let policy = data_encoding::BASE64URL_NOPAD.encode(REGO.as_bytes());
        let request = self
            .http
            .post(format!("{}/kbs/v0/resource-policy", self.url));
        let request = request
            .bearer_auth(self.token())
            .json(&json!({"policy": policy}));
        let answer = Answer::of(request).await;
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
    }

    pub(crate) fn address(&self) -> KbsAddress {
        KbsAddress::parse(&self.url, true, "").unwrap()
    }

    pub(crate) fn guest(&self) -> Guest {
        Guest::new(&self.http, &self.url)
    }

    /// An administrator's token that is in force.
    pub(crate) fn token(&self) -> String {
        let life = std::time::Duration::from_secs(60);
        self.key.token(&self.role, life, self.now()).unwrap()
    }

    /// By the clock of the broker: ours stands still.
    #[allow(
        clippy::disallowed_methods,
        reason = "somebody else's broker goes by the time of day"
    )]
    pub(crate) fn now(&self) -> u64 {
        match &self.bed {
            Some(bed) => u64::try_from(bed.now()).unwrap(),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs(),
        }
    }

    pub(crate) async fn put(&self, path: &str, secret: &[u8]) {
        let admin = Admin::new(self.address(), &[], self.key.clone(), &self.role).unwrap();
        let path = path.parse().unwrap();
        admin.put_resource(&path, secret, self.now()).await.unwrap();
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "which broker a test is for is no setting"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
