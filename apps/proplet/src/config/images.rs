//! The settings for images, and what becomes of them in plain mode, where upstream's protocol has no
//! place for them.

use propeller_settings::Settings;

use crate::images::{ImagesConfig, PullFrom};

/// What is kept on disk for whoever names a folder for it and not how much, in bytes: upstream's
/// variable for that folder has nothing beside it.
const LAYER_STORE_BYTES: u64 = 1 << 30;

/// What cannot be kept in plain mode: the setting, and what is done there instead.
const NOT_IN_PLAIN: [(&str, &str); 7] = [
    ("require_signature", "no signature can be checked"),
    ("image_keys", "no encrypted image is opened"),
    ("pull_from", "images come by way of upstream's proxy"),
    ("image_cache", "nothing of an image is kept on disk"),
    ("registry_config", "registries are not asked"),
    ("registry_ca", "registries are not asked"),
    ("policy_file", "tasks are granted nothing"),
];

/// Upstream's own, which its users may have set: how images are fetched, and not which.
const UNUSED_IN_PLAIN: [&str; 2] = ["layer_store_path", "pull_concurrent_limit"];

/// Reads them. What is wrong is noted in `settings`.
pub(super) fn read(settings: &mut Settings, plaintext: bool) -> ImagesConfig {
    if plaintext {
        hold_against_plain_mode(settings);
    }
    ImagesConfig {
        settings: propeller_settings::images(settings),
        keys: propeller_settings::image_keys(settings, "image_keys").into(),
        layers_at_once: usize::try_from(settings.number("pull_concurrent_limit", 1, 64))
            .unwrap_or(1),
        module_bytes_max: settings.bytes("max_module"),
        from: settings
            .parse("pull_from", str::parse)
            .unwrap_or(PullFrom::Auto),
        disk_bytes_max: disk(settings, plaintext),
    }
}

/// An operator who asks for what is not done has to know before anything runs.
fn hold_against_plain_mode(settings: &mut Settings) {
    for (name, instead) in NOT_IN_PLAIN {
        if settings.is_set(name) {
            let why = format!("in plain mode {instead}: unset it, or PROPLET_PLAINTEXT");
            settings.invalid(name, why);
        }
    }
    for name in UNUSED_IN_PLAIN {
        if settings.is_set(name) {
            let variable = format!("PROPLET_{}", name.to_uppercase());
            let warning = format!("{variable} is not used in plain mode: a proxy fetches images");
            settings.warnings.push(warning);
        }
    }
}

/// Most bytes that are kept on disk.
fn disk(settings: &mut Settings, plaintext: bool) -> u64 {
    let bytes = settings.bytes("image_cache");
    let folder = settings.is_set("layer_store_path") && !plaintext;
    match (folder, settings.is_set("image_cache")) {
        (true, false) => LAYER_STORE_BYTES,
        (true, true) if bytes == 0 => {
            let why = "PROPLET_IMAGE_CACHE=0 keeps nothing in it: unset one of the two";
            settings.invalid("layer_store_path", why.to_owned());
            0
        }
        _ => bytes,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use propeller_settings::{Settings, Sources};

    use super::super::{Config, SCHEMA};

    /// A proplet's configuration with these settings.
    pub(crate) fn configured(flags: &[(&str, &str)]) -> Result<Config, String> {
        let flags = flags
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let mut flags: BTreeMap<String, String> = flags.collect();
        flags
            .entry("workload_key".to_owned())
            .or_insert_with(|| "0123456789abcdef".repeat(4));
        let sources = Sources {
            flags,
            ..Sources::default()
        };
        Config::from_settings(Settings::load(SCHEMA, "proplet", &sources))
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn what_plain_mode_cannot_keep_is_refused_there_and_nowhere_else() {
        let folder = env!("CARGO_MANIFEST_DIR");
        let key = format!("{folder}/Cargo.toml");
        for (name, value, why) in [
            ("require_signature", &*key, "no signature can be checked"),
            ("image_keys", &key, "no encrypted image is opened"),
            ("pull_from", "registry", "by way of upstream's proxy"),
            ("pull_from", "auto", "by way of upstream's proxy"),
            ("image_cache", "1GiB", "nothing of an image is kept"),
            ("registry_config", &key, "registries are not asked"),
            ("registry_ca", &key, "registries are not asked"),
            ("policy_file", &key, "tasks are granted nothing"),
        ] {
            let said = configured(&[("plaintext", "true"), (name, value)]).unwrap_err();
            let variable = format!("PROPLET_{}", name.to_uppercase());
            assert!(said.contains(&variable) && said.contains(why), "{said}");
            let sealed = configured(&[(name, value)]);
            assert!(!sealed.is_err_and(|said| said.contains("in plain mode")));
        }
        assert!(configured(&[("plaintext", "true")]).is_ok());
    }

    #[test]
    fn upstreams_variables_do_not_keep_a_plain_proplet_from_starting() {
        let config = configured(&[
            ("plaintext", "true"),
            ("layer_store_path", "/tmp/proplet/layers"),
            ("pull_concurrent_limit", "8"),
        ]);
        let config = config.unwrap();
        assert_eq!(config.images.disk_bytes_max, 0);
        let [path, limit] = &*config.warnings else {
            panic!("{:?}", config.warnings)
        };
        assert!(
            path.starts_with("PROPLET_LAYER_STORE_PATH is not used"),
            "{path}"
        );
        assert!(
            limit.starts_with("PROPLET_PULL_CONCURRENT_LIMIT is"),
            "{limit}"
        );
    }

    #[test]
    fn upstreams_folder_for_layers_is_used_with_no_other_setting() {
        let folder = ("layer_store_path", "/tmp/proplet/layers");
        let config = configured(&[folder]).unwrap();
        assert_eq!(config.images.disk_bytes_max, 1 << 30);
        assert_eq!(config.layer_store, Some(folder.1.into()));
        let config = configured(&[folder, ("image_cache", "3MiB")]).unwrap();
        assert_eq!(config.images.disk_bytes_max, 3 << 20);
        assert_eq!(configured(&[]).unwrap().images.disk_bytes_max, 0);
        let said = configured(&[folder, ("image_cache", "0")]).unwrap_err();
        assert!(said.contains("PROPLET_LAYER_STORE_PATH"), "{said}");
        assert!(said.contains("unset one of the two"), "{said}");
    }
}
