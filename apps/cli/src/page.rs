//! The flags that choose a part of a list.

use clap::Args;
use propeller_sdk::Page;

/// Which part of a list to show.
#[derive(Debug, Clone, Copy, Args)]
pub struct PageArgs {
    /// Skip this many
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    offset: u64,

    /// Show at most this many
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    limit: u64,
}

impl PageArgs {
    pub(crate) fn page(self) -> Page {
        Page {
            offset: self.offset,
            limit: self.limit,
        }
    }

    /// What to say below a list that does not show everything.
    pub(crate) fn rest(self, shown: usize, total: u64) -> Option<String> {
        let seen = self.offset.saturating_add(shown as u64);
        if shown == 0 && total > 0 {
            return Some(format!("there are only {total}"));
        }
        (seen < total).then(|| {
            format!(
                "{} to {seen} of {total}; the next ones: --offset {seen}",
                self.offset + 1
            )
        })
    }
}
