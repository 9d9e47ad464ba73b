//! Sets of shards, likely ones first.

use std::iter;

/// All sets of `needed` out of `count`, each in ascending order.
///
/// The first ones by themselves are the first set; then come the sets in which one of them is
/// replaced by a spare, then two. So a damaged one among the first is found as soon as every one of
/// them has been left out once.
pub(super) fn sets(count: usize, needed: usize) -> impl Iterator<Item = Vec<usize>> {
    let spares = count - needed;
    (0..=needed.min(spares)).flat_map(move |replaced| {
        combinations(spares, replaced).flat_map(move |taken| {
            combinations(needed, replaced).map(move |left_out| {
                let first = (0..needed).filter(|at| !left_out.contains(at));
                first
                    .chain(taken.iter().map(|spare| needed + spare))
                    .collect()
            })
        })
    })
}

/// All ascending choices of `chosen` out of `0..count`, in lexicographic order.
fn combinations(count: usize, chosen: usize) -> impl Iterator<Item = Vec<usize>> {
    iter::successors(Some((0..chosen).collect()), move |last: &Vec<usize>| {
        let mut next = last.clone();
        let at = (0..chosen).rfind(|&at| next[at] < count - chosen + at)?;
        next[at] += 1;
        for later in at + 1..chosen {
            next[later] = next[later - 1] + 1;
        }
        Some(next)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn check_first(count: usize, needed: usize, expected: &[&[usize]]) {
        let first: Vec<_> = sets(count, needed).take(expected.len()).collect();
        assert_eq!(first, expected, "{needed} of {count}");
    }

    #[test]
    fn the_first_ones_come_first_and_then_one_is_replaced() {
        check_first(
            4,
            2,
            &[&[0, 1], &[1, 2], &[0, 2], &[1, 3], &[0, 3], &[2, 3]],
        );
        check_first(3, 1, &[&[0], &[1], &[2]]);
    }

    #[test]
    fn every_set_comes_once() {
        for (count, needed, expected) in [
            (1, 1, 1),
            (5, 5, 1),
            (6, 5, 6),
            (12, 8, 495),
            (20, 16, 4845),
            (7, 2, 21),
        ] {
            let all: Vec<Vec<usize>> = sets(count, needed).collect();
            assert_eq!(all.len(), expected, "{needed} of {count}");
            assert!(all.iter().all(|set| set.len() == needed && set.is_sorted()));
            assert_eq!(
                BTreeSet::from_iter(all).len(),
                expected,
                "{needed} of {count}"
            );
        }
    }

    #[test]
    fn the_largest_geometry_is_taken_set_by_set() {
        assert_eq!(sets(256, 128).take(5_001).count(), 5_001);
    }
}
