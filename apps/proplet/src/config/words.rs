//! What the operator says about a proplet, for people.

use propeller_settings::Settings;

/// What the operator says about a proplet.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// Free text.
    pub description: String,
    /// Labels.
    pub tags: Vec<String>,
    /// Where it stands.
    pub location: String,
}

pub(super) fn read(settings: &Settings) -> Words {
    let text = |name| settings.text(name).unwrap_or_default().to_owned();
    Words {
        description: text("description"),
        tags: text("tags")
            .split(',')
            .map(|tag| tag.trim().to_owned())
            .filter(|tag| !tag.is_empty())
            .collect(),
        location: text("location"),
    }
}
