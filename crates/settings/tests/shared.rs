//! What the settings that every service has turn into.
#![cfg(test)]

use propeller_settings::{Schema, Settings, Sources, shared};
use propeller_wire::mqtt::{Version, Versions};

const SCHEMA: Schema = Schema {
    section: "proplet",
    prefix: "PROPLET",
    own: &[],
    shared: shared::KEYS,
};

fn load(mqtt_version: Option<&str>) -> Settings {
    let set = mqtt_version.map(|text| ("PROPLET_MQTT_VERSION".to_owned(), text.to_owned()));
    let sources = Sources {
        environment: set.into_iter().collect(),
        ..Sources::default()
    };
    Settings::load(SCHEMA, "proplet", &sources)
}

#[test]
fn the_version_of_mqtt_is_found_out_unless_it_is_set() {
    for (text, expected) in [
        (None, Versions::Auto),
        (Some("auto"), Versions::Auto),
        (Some("5"), Versions::Only(Version::V5)),
        (Some("3.1.1"), Versions::Only(Version::V311)),
    ] {
        let mut settings = load(text);
        assert_eq!(shared::mqtt(&mut settings, "proplet").versions, expected);
        settings.finish(()).unwrap();
    }
}

#[test]
fn an_unknown_version_of_mqtt_is_a_mistake_that_says_which_there_are() {
    let mut settings = load(Some("4"));
    let _options = shared::mqtt(&mut settings, "proplet");
    let error = settings.finish(()).unwrap_err().to_string();
    assert!(error.contains("PROPLET_MQTT_VERSION"), "{error}");
    assert!(error.contains("use `auto`, `5` or `3.1.1`"), "{error}");
}
