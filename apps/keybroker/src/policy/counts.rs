//! What has been released under rules that count.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use propeller_attest::rcar::ResourcePath;

use super::claims::Claims;
use super::{AtMost, Counted};

/// Most releases that are remembered. A rule that counts releases nothing more while there are as
/// many: a few megabytes.
const RELEASES_MAX: usize = 50_000;
/// The longest span that a rule may count over, in seconds: 31 days.
pub(super) const PER_SECS_MAX: i64 = 31 * 24 * 3600;

/// One release under a rule that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// When.
    pub at: Timestamp,
    /// Under which rule.
    pub rule: String,
    /// What.
    pub resource: String,
    /// To whom, see [`Claims::workload`].
    pub workload: String,
}

/// What has been released under rules that count, as far back as any of them may look.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    releases: VecDeque<Release>,
}

impl Counts {
    /// Remembers a release, and forgets what is too old by then.
    pub fn record(&mut self, release: Release) {
        let oldest = since(release.at, PER_SECS_MAX);
        while self.releases.front().is_some_and(|first| first.at < oldest) {
            self.releases.pop_front();
        }
        if self.releases.len() < RELEASES_MAX {
            self.releases.push_back(release);
        }
    }

    /// Whether one more is within `at_most`. What seems to lie ahead counts: a clock that was put
    /// back gives nobody more.
    pub(super) fn have_room(
        &self,
        rule: &str,
        at_most: AtMost,
        claims: &Claims,
        path: &ResourcePath,
        now: Timestamp,
    ) -> bool {
        let AtMost {
            releases,
            per_secs,
            counted,
        } = at_most;
        let oldest = since(now, per_secs);
        let workload = claims.workload();
        let counts = |one: &&Release| {
            let same = match counted {
                Counted::Together => true,
                Counted::ByResource => one.resource == path.as_str(),
                Counted::ByWorkload => one.workload == workload,
            };
            one.rule == rule && one.at > oldest && same
        };
        let since_then = self.releases.iter().filter(counts).count();
        since_then < releases && self.releases.len() < RELEASES_MAX
    }
}

fn since(now: Timestamp, secs: i64) -> Timestamp {
    let ago = now.checked_sub(SignedDuration::from_secs(secs));
    ago.unwrap_or(Timestamp::MIN)
}
