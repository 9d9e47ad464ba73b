//! What the settings for images turn into, and what of them is refused.
#![cfg(test)]

use propeller_settings::{Key, Kind, Schema, Settings, Sources, image_keys, images};

const SCHEMA: Schema = Schema {
    section: "proplet",
    prefix: "PROPLET",
    own: &[
        Key::new("require_signature", &[], Kind::Text, None, ""),
        Key::new("image_keys", &[], Kind::Text, None, ""),
        Key::new("registry_ca", &[], Kind::Path, None, ""),
        Key::new("registry_config", &[], Kind::Path, None, ""),
    ],
    shared: &[],
};

fn read(variable: &str, value: &str) -> Result<(), String> {
    let set = (variable.to_owned(), value.to_owned());
    let sources = Sources {
        environment: [set].into_iter().collect(),
        ..Sources::default()
    };
    let mut settings = Settings::load(SCHEMA, "proplet", &sources);
    let images = images(&mut settings);
    let keys = image_keys(&mut settings, "image_keys");
    assert!(images.trusted.is_empty() && keys.is_empty());
    settings.finish(()).map_err(|error| error.to_string())
}

#[test]
fn a_list_of_keys_without_any_is_a_mistake_and_no_leave_to_run_everything() {
    for variable in ["PROPLET_REQUIRE_SIGNATURE", "PROPLET_IMAGE_KEYS"] {
        for value in [" , ", ",", " "] {
            let said = read(variable, value).unwrap_err();
            assert!(said.contains(variable), "{said}");
            assert!(
                said.contains("it names no file: write one or more"),
                "{said}"
            );
        }
        // As everywhere, an empty variable is one that is not set.
        assert_eq!(read(variable, ""), Ok(()));
    }
}

#[test]
fn what_is_no_authority_is_told_with_its_setting_and_its_file() {
    let file = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
    let said = read("PROPLET_REGISTRY_CA", &file).unwrap_err();
    let why = format!("PROPLET_REGISTRY_CA (environment): {file}: there is no certificate in it");
    assert!(said.starts_with(&why), "{said}");
}
