//! The functions of a module that its jobs call, found without a lock.
//!
//! To look for a function takes longer than many a call, and most jobs of a module want the same few.

use std::ops::Deref;
use std::sync::OnceLock;

/// How many functions are remembered. Jobs that want another one look for it.
const FUNCTIONS_MAX: usize = 4;

/// The first functions that were asked for.
pub(super) struct Remembered<F>([OnceLock<F>; FUNCTIONS_MAX]);

/// A function that is remembered, or looked for once.
pub(super) enum Function<'a, F> {
    Remembered(&'a F),
    Own(Box<F>),
}

impl<F> Remembered<F> {
    /// The function that `is` knows, or else the one that `find` finds.
    pub(super) fn get<E>(
        &self,
        is: impl Fn(&F) -> bool,
        find: impl FnOnce() -> Result<F, E>,
    ) -> Result<Function<'_, F>, E> {
        let known = self.0.iter().map_while(OnceLock::get);
        if let Some(function) = known.into_iter().find(|function| is(function)) {
            return Ok(Function::Remembered(function));
        }
        let mut found = find()?;
        for place in &self.0 {
            match place.set(found) {
                Ok(()) => {
                    let function = place.get().expect("it was just set");
                    return Ok(Function::Remembered(function));
                }
                Err(back) => found = back,
            }
            // Another job may have looked for it at the same time.
            if let Some(function) = place.get().filter(|function| is(function)) {
                return Ok(Function::Remembered(function));
            }
        }
        Ok(Function::Own(Box::new(found)))
    }
}

impl<F> Default for Remembered<F> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; FUNCTIONS_MAX])
    }
}

impl<F> Deref for Function<'_, F> {
    type Target = F;

    fn deref(&self) -> &F {
        match self {
            Self::Remembered(function) => function,
            Self::Own(function) => function,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Asks for `wanted`, and says whether it had to be looked for.
    fn is_looked_for(remembered: &Remembered<usize>, wanted: usize) -> bool {
        let mut looked = false;
        let found = remembered.get(
            |function| *function == wanted,
            || {
                looked = true;
                Ok::<_, Infallible>(wanted)
            },
        );
        assert_eq!(*found.expect("it is there"), wanted);
        looked
    }

    #[test]
    fn the_first_functions_are_looked_for_once_and_others_every_time() {
        let remembered = Remembered::default();
        for wanted in 0..FUNCTIONS_MAX {
            assert!(is_looked_for(&remembered, wanted));
            assert!(!is_looked_for(&remembered, wanted));
        }
        for _ in 0..2 {
            assert!(is_looked_for(&remembered, FUNCTIONS_MAX));
        }
        assert!(!is_looked_for(&remembered, 0));
    }

    #[test]
    fn a_function_that_two_jobs_look_for_at_a_time_is_remembered_once() {
        let remembered = Remembered::default();
        let is = |function: &usize| *function == 1;
        let found = remembered.get(is, || {
            assert!(is_looked_for(&remembered, 1));
            Ok::<_, Infallible>(1)
        });
        assert_eq!(*found.expect("it is there"), 1);
        assert_eq!(remembered.0.iter().filter_map(OnceLock::get).count(), 1);
    }

    #[test]
    fn what_is_not_there_is_not_remembered() {
        let remembered = Remembered::<usize>::default();
        assert!(
            remembered
                .get(|_| true, || Err("no such function"))
                .is_err()
        );
        assert!(is_looked_for(&remembered, 1));
    }
}
