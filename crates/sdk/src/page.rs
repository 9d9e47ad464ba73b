//! Which part of a list to fetch.

use reqwest::Url;

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Items to skip.
    pub offset: u64,
    /// Most items to return.
    pub limit: u64,
}

impl Page {
    pub(crate) fn add_to(self, url: &mut Url) {
        url.query_pairs_mut()
            .append_pair("offset", &self.offset.to_string())
            .append_pair("limit", &self.limit.to_string());
    }
}
