//! Who else may have a task that proplets in a trusted execution environment (TEE) have refused.

use std::time::{Duration, Instant};

use propeller_model::PropletId;
use propeller_model::task::Retry;
use propeller_scheduler::Candidate;

use super::standing::is_within;
use super::{Fleet, Member};

/// How many proplets are asked for a key at no cost to the task. Beyond, each counts as an attempt.
const ASKED_FREE_MAX: usize = 32;

impl Fleet {
    /// Whether another attempt may help a task for a TEE that all of `tried` have refused: at no cost
    /// only if one of `able`, who can be given it at once, is none of them, because otherwise it goes
    /// to one of them again. Whose evidence is yet to come, or who is full, is waited for as for
    /// anybody who may come back: so often as a task is tried, with pauses.
    pub(in crate::dispatch) fn besides(
        &self,
        tried: &[&PropletId],
        able: &[Candidate],
        now: Instant,
        window: Duration,
    ) -> Retry {
        let is_new = |id: &PropletId| !tried.contains(&id);
        if able.iter().any(|candidate| is_new(&candidate.proplet)) {
            return match tried.len() {
                ..ASKED_FREE_MAX => Retry::IsFree,
                _ => Retry::MayHelp,
            };
        }
        let may_yet = |member: &Member| {
            let tee = member.tee.as_ref().filter(|tee| tee.may_count());
            let is_young = is_within(member.begun, window, now);
            tee.is_some_and(|tee| is_young || tee.holds)
                && member.is_alive(now, window)
                && is_new(&member.id)
        };
        match self.members.values().any(may_yet) {
            true => Retry::MayHelp,
            false => Retry::IsPointless,
        }
    }
}

#[cfg(test)]
mod tests {
    use propeller_attest::Tee;
    use propeller_scheduler::Link;

    use super::super::TeeStanding;
    use super::*;
    use crate::dispatch::Moment;

    const WINDOW: Duration = Duration::from_secs(30);

    /// Whether the refusal of a task by `a` is free, costs an attempt or is the end of it, in a fleet
    /// of these: who they are, whether their evidence held, whether they can be given it, and how long
    /// they have been there.
    fn check(others: &[(&str, bool, bool, Duration)], expected: Retry) {
        let now = Instant::now();
        let mut fleet = Fleet::default();
        let mut able = Vec::new();
        let a = ("a", true, true, WINDOW);
        for (name, holds, can, since) in others.iter().chain([&a]) {
            let id: PropletId = name.parse().unwrap();
            let member = fleet.member(&id).unwrap();
            member.link = Some(Link::Sealed);
            let mut tee = TeeStanding::said(Tee::Sample);
            tee.holds = *holds;
            member.tee = Some(tee);
            let begun = now.checked_sub(*since).unwrap();
            member.begin(Moment { now: begun, ms: 0 });
            member.hear(Moment { now, ms: 0 });
            if *can {
                able.push(Candidate {
                    proplet: id,
                    link: Link::Sealed,
                    free: 1,
                    busy: 0,
                    tee: true,
                    store: false,
                });
            }
        }
        let a = "a".parse().unwrap();
        assert_eq!(fleet.besides(&[&a, &a], &able, now, WINDOW), expected);
    }

    #[test]
    fn a_refusal_is_free_only_while_somebody_else_can_be_given_the_task() {
        let (long, lately) = (2 * WINDOW, WINDOW / 2);
        check(&[], Retry::IsPointless);
        check(&[("b", true, true, long)], Retry::IsFree);
        // Without a policy, or of another session, what was said counts.
        check(&[("b", false, true, long)], Retry::IsFree);
        // It said so long ago, and has never shown it.
        check(&[("b", false, false, long)], Retry::IsPointless);
        check(&[("b", false, false, lately)], Retry::MayHelp);
        // It has no room for a moment.
        check(&[("b", true, false, long)], Retry::MayHelp);
    }

    #[test]
    fn beyond_a_number_of_refusals_each_is_an_attempt() {
        let fleet = Fleet::default();
        let able = [Candidate {
            proplet: "b".parse().unwrap(),
            link: Link::Sealed,
            free: 1,
            busy: 0,
            tee: true,
            store: false,
        }];
        let a = "a".parse().unwrap();
        let besides = |tried| fleet.besides(&vec![&a; tried], &able, Instant::now(), WINDOW);
        assert_eq!(besides(ASKED_FREE_MAX - 1), Retry::IsFree);
        assert_eq!(besides(ASKED_FREE_MAX), Retry::MayHelp);
    }
}
