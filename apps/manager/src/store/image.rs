//! Images that tasks name.

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// A reference with a digest: the same bytes for every attempt.
    pub reference: String,
    /// Whether its layers are encrypted, as far as the manager could see.
    pub encrypted: bool,
}

impl Image {
    /// What was stored, if a task names one.
    pub(super) fn from_columns(reference: Option<String>, encrypted: bool) -> Option<Self> {
        reference.map(|reference| Self {
            reference,
            encrypted,
        })
    }
}
