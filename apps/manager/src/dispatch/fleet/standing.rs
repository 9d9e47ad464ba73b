//! What proplets have that not every task needs: a trusted execution environment (TEE), a way to the
//! object store.

use std::time::{Duration, Instant};

use propeller_attest::Tee;
use propeller_model::PropletId;
use propeller_scheduler::Needs;
use propeller_wire::message::StoreMark;
use tracing::{info, warn};

use super::{Fleet, Member, Moment};
use crate::judge::Standing;

/// How long the evidence of a session counts before other evidence of it is judged. Proplets show it
/// every minute; whoever does so more often is to keep nobody else's waiting.
const CLAIM_PAUSE_MS: i64 = 45_000;

/// The TEE that a proplet is in: what it said, and what its evidence came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeeStanding {
    /// What it said.
    pub kind: Tee,
    /// When a policy was held against its evidence, and satisfied.
    pub checked_ms: Option<i64>,
    /// Why its evidence is refused.
    pub refused: Option<String>,
    /// When evidence of this session was last taken, to be judged.
    pub(in crate::dispatch) taken_ms: Option<i64>,
    /// Whether the last that was judged held.
    pub(in crate::dispatch) holds: bool,
}

impl TeeStanding {
    /// Of this session nothing is known but what was said.
    pub(in crate::dispatch) const fn said(kind: Tee) -> Self {
        Self {
            kind,
            checked_ms: None,
            refused: None,
            taken_ms: None,
            holds: false,
        }
    }

    /// Whether evidence that comes now is judged: then it is taken.
    pub(in crate::dispatch) fn take(&mut self, now_ms: i64) -> bool {
        let fits = |taken: i64| now_ms.saturating_sub(taken) >= CLAIM_PAUSE_MS;
        let takes = self.taken_ms.is_none_or(fits);
        if takes {
            self.taken_ms = Some(now_ms);
        }
        takes
    }

    /// What evidence came to; whether that is something new.
    pub(in crate::dispatch) fn judge(
        &mut self,
        verdict: Result<Standing, String>,
        now_ms: i64,
    ) -> bool {
        let held = verdict.and_then(|standing| match standing.tee == self.kind {
            true => Ok(standing.checked),
            false => Err("it is of another kind than the proplet said".to_owned()),
        });
        let is_news = match &held {
            Ok(_) => !self.holds,
            Err(why) => self.refused.as_ref() != Some(why),
        };
        self.holds = held.is_ok();
        if let Ok(checked) = held {
            self.checked_ms = checked.then_some(now_ms);
        }
        self.refused = held.err();
        is_news
    }

    /// Whether it is one, as far as is known now.
    pub(super) fn counts(&self, only_checked: bool) -> bool {
        self.may_count() && (self.checked_ms.is_some() || !only_checked)
    }

    /// Whether it may turn out to be one.
    pub(super) fn may_count(&self) -> bool {
        self.refused.is_none()
    }
}

impl Fleet {
    /// Whether somebody has all that is needed, or had it a moment ago and may be back: a restart is no
    /// reason to give tasks up.
    pub(in crate::dispatch) fn has(&self, needs: Needs, now: Instant, window: Duration) -> bool {
        self.members
            .values()
            .any(|member| member.may_have(needs, now, window))
    }

    /// Those who are there and do not have all that is needed.
    pub(in crate::dispatch) fn without(
        &self,
        needs: Needs,
        now: Instant,
        window: Duration,
    ) -> Vec<PropletId> {
        let without = |member: &&Member| {
            let has = (!needs.tee || member.tee_may_count())
                && (!needs.store || member.may_store(now, window));
            !has && member.link.is_some() && member.is_alive(now, window)
        };
        let ids = self.members.values().filter(without);
        ids.map(|member| member.id.clone()).collect()
    }

    /// Those who are there and say that they are in a TEE, which their evidence did not show; and why
    /// it is refused.
    pub(in crate::dispatch) fn refused_tees(
        &self,
        now: Instant,
        window: Duration,
    ) -> impl Iterator<Item = (&PropletId, &str)> {
        let there = self.members.values();
        let there = there.filter(move |member| member.is_alive(now, window));
        there.filter_map(|member| Some((&member.id, member.tee.as_ref()?.refused.as_deref()?)))
    }
}

impl Member {
    /// A session begins: what it reaches is yet to be said.
    pub(in crate::dispatch) fn begin(&mut self, moment: Moment) {
        self.begun = Some(moment.now);
        self.store = false;
    }

    /// It says which object store it reaches, with every sign of life: the log says it once.
    pub(in crate::dispatch) fn reach(
        &mut self,
        store: StoreMark,
        ours: Option<StoreMark>,
        moment: Moment,
    ) {
        self.store = ours == Some(store);
        if self.store {
            self.store_heard = Some(moment.now);
        }
        if self.reaches.replace(store) == Some(store) {
            return;
        }
        let proplet = &self.id;
        match (self.store, ours) {
            (true, _) => info!(%proplet, "proplet reaches the object store"),
            (false, Some(_)) => {
                warn!(%proplet, "a proplet reaches another object store than the manager's: give it the same one with PROPLET_OBJECT_STORE");
            }
            (false, None) => {
                warn!(%proplet, "a proplet reaches an object store, and the manager has none: set MANAGER_OBJECT_STORE");
            }
        }
    }

    /// Whether it may be given what needs the object store.
    pub(in crate::dispatch) fn has_store(&self, now: Instant) -> bool {
        self.store && self.storeless_until.is_none_or(|until| now >= until)
    }

    fn may_have(&self, needs: Needs, now: Instant, window: Duration) -> bool {
        let tee = || self.tee_may_count() && is_within(self.tee_heard, 2 * window, now);
        (!needs.tee || tee()) && (!needs.store || self.may_store(now, window))
    }

    /// It is said after the session has begun, and only once the store was reached.
    fn may_store(&self, now: Instant, window: Duration) -> bool {
        is_within(self.store_heard, 2 * window, now) || is_within(self.begun, window, now)
    }

    fn tee_may_count(&self) -> bool {
        self.tee.as_ref().is_some_and(TeeStanding::may_count)
    }
}

pub(super) fn is_within(at: Option<Instant>, term: Duration, now: Instant) -> bool {
    at.is_some_and(|at| now.saturating_duration_since(at) < term)
}

#[cfg(test)]
mod tests {
    use propeller_scheduler::Link;

    use super::*;

    const OURS: StoreMark = StoreMark([1; 16]);
    const OTHER: StoreMark = StoreMark([2; 16]);
    const WINDOW: Duration = Duration::from_secs(30);

    fn member() -> Member {
        Member::new("p".parse().unwrap())
    }

    #[test]
    fn only_our_store_counts_and_only_as_long_as_the_session() {
        let moment = Moment {
            now: Instant::now(),
            ms: 0,
        };
        let mut member = member();
        for (said, ours, counts) in [
            (OURS, Some(OURS), true),
            (OTHER, Some(OURS), false),
            (OURS, None, false),
            (OURS, Some(OURS), true),
        ] {
            member.reach(said, ours, moment);
            assert_eq!(member.store, counts, "{said:?} {ours:?}");
        }
        member.begin(moment);
        assert!(!member.store);
        member.reach(OURS, Some(OURS), moment);
        member.leave();
        assert!(!member.store);
    }

    #[test]
    fn who_may_yet_reach_the_store_is_waited_for() {
        let now = Instant::now();
        let moment = Moment { now, ms: 0 };
        let needs = Needs {
            store: true,
            ..Needs::default()
        };
        let may = |member: &Member, after| member.may_have(needs, now + after, WINDOW);
        let mut member = member();
        assert!(!may(&member, Duration::ZERO));
        member.begin(moment);
        assert!(may(&member, WINDOW / 2));
        assert!(!may(&member, WINDOW));
        member.reach(OURS, Some(OURS), moment);
        member.leave();
        assert!(may(&member, WINDOW));
        assert!(!may(&member, 2 * WINDOW));
    }

    #[test]
    fn one_in_a_tee_and_another_with_the_store_are_nobody_with_both() {
        let now = Instant::now();
        let moment = Moment { now, ms: 0 };
        let mut fleet = Fleet::default();
        for (name, in_tee, reaches) in [("tee", true, false), ("store", false, true)] {
            let member = fleet.member(&name.parse().unwrap()).unwrap();
            member.link = Some(Link::Sealed);
            member.tee = in_tee.then_some(TeeStanding::said(Tee::Sample));
            member.hear(moment);
            if reaches {
                member.reach(OURS, Some(OURS), moment);
            }
        }
        for needs in Needs::ALL {
            let is_some = !(needs.tee && needs.store);
            assert_eq!(fleet.has(needs, now, WINDOW), is_some, "{needs:?}");
            let without = fleet.without(needs, now, WINDOW).len();
            let expected = usize::from(needs.tee) + usize::from(needs.store);
            assert_eq!(without, expected, "{needs:?}");
        }
        let both = fleet.find_mut(&"tee".parse().unwrap()).unwrap();
        both.reach(OURS, Some(OURS), moment);
        assert!(
            Needs::ALL
                .iter()
                .all(|needs| fleet.has(*needs, now, WINDOW))
        );
    }

    #[test]
    fn whom_the_store_has_not_answered_gets_nothing_of_it_for_a_while() {
        let now = Instant::now();
        let mut member = member();
        member.reach(OURS, Some(OURS), Moment { now, ms: 0 });
        assert!(member.has_store(now));
        member.storeless_until = Some(now + WINDOW);
        assert!(!member.has_store(now));
        assert!(member.has_store(now + WINDOW));
    }

    #[test]
    fn evidence_of_a_session_is_judged_again_after_a_while() {
        let mut tee = TeeStanding::said(Tee::Tdx);
        let checked = |checked| {
            Ok(Standing {
                tee: Tee::Tdx,
                checked,
            })
        };
        assert!(tee.take(1_000));
        assert!(!tee.take(1_000 + CLAIM_PAUSE_MS - 1));
        assert!(tee.judge(checked(true), 2_000));
        assert!(tee.take(60_000));
        assert!(!tee.judge(checked(true), 61_000), "no news");
        assert_eq!((tee.checked_ms, &tee.refused), (Some(61_000), &None));
        let refused = || Err("its collateral is over".to_owned());
        assert!(tee.judge(refused(), 121_000));
        assert!(!tee.judge(refused(), 181_000), "no news");
        assert!(!tee.counts(false));
        assert!(tee.judge(checked(true), 241_000));
        assert!(tee.counts(true));
    }

    #[test]
    fn evidence_of_another_kind_than_was_said_counts_for_nothing() {
        let mut tee = TeeStanding::said(Tee::Tdx);
        let standing = Standing {
            tee: Tee::Sample,
            checked: true,
        };
        assert!(tee.judge(Ok(standing), 1));
        assert!(!tee.counts(false));
    }
}
