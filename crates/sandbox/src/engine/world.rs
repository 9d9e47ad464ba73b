//! The two worlds that guests live in: the real one, and the one of the deterministic profile.
//!
//! Each has an engine of its own, because NaN canonicalisation and relaxed SIMD are decided when
//! code is compiled, and functions of its own to import, because waiting has to be virtual.

use std::sync::Arc;

use propeller_model::{self as model, Profile, SetBy};
use serde::{Deserialize, Serialize};
use tracing::warn;
use wasmtime::Engine;

use super::code::{self, Linkers, Target};
use super::{guest, pool};
use crate::config::{Allocator, Metering};
use crate::job::{Job, ModuleKey};

/// The version of wasmtime in the lock file; a test compares them.
const WASMTIME_VERSION: &str = "48.0.8";

/// What both engines are told beyond wasmtime's defaults, and what they are denied.
const FEATURES: [&str; 10] = [
    "bulk-memory",
    "component-model",
    "extended-const",
    "fuel",
    "multi-memory",
    "multi-value",
    "reference-types",
    "relaxed-simd",
    "simd",
    "tail-call",
];

/// What the deterministic engine is told in addition.
const VIRTUAL_FEATURES: [&str; 4] = [
    "nan-canonicalization",
    "relaxed-simd-deterministic",
    "seeded-random",
    "virtual-time",
];

/// Which world a guest lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum World {
    /// Real clocks, real randomness, the processor's own floating point.
    Real,
    /// The real one, in code that checks neither fuel nor interruption.
    Unmetered,
    /// The same on every machine.
    Virtual,
}

impl World {
    pub(super) fn of(profile: Profile) -> Self {
        match profile {
            Profile::Deterministic => Self::Virtual,
            Profile::Pure | Profile::Granted => Self::Real,
        }
    }
}

/// Whose code it is, and for which world it was compiled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) module: ModuleKey,
    pub(super) world: World,
}

/// What all guests of one world share.
pub(super) struct Side {
    /// For guests without a place in a pool.
    pub(super) on_demand: Half,
    /// For the others, if there is a pool.
    pub(super) pooled: Option<Half>,
}

/// What guests share that come from one allocator: code belongs to an engine, and so does what it is
/// linked with.
pub(super) struct Half {
    pub(super) engine: Engine,
    pub(super) linkers: Linkers,
    target: Target,
}

impl Side {
    fn new(stack_bytes: u64, world: World, allocator: Allocator) -> wasmtime::Result<Self> {
        let on_demand = Half::new(stack_bytes, world, Allocator::OnDemand)?;
        let pooled = match allocator {
            Allocator::OnDemand => None,
            // A machine may refuse so much address space. Guests run there all the same.
            Allocator::Pooling { guests_max } => {
                let guests_max = pool::places(guests_max);
                let pooled = Half::new(stack_bytes, world, Allocator::Pooling { guests_max });
                let without = |error: &_| warn!("no pool for guests, who run without: {error:#}");
                pooled.inspect_err(without).ok()
            }
        };
        Ok(Self { on_demand, pooled })
    }

    /// The half that guests of this module or component belong to.
    pub(super) fn half(&self, wasm: &[u8]) -> &Half {
        match &self.pooled {
            Some(pooled) if pool::fits(wasm) => pooled,
            _ => &self.on_demand,
        }
    }
}

impl Half {
    fn new(stack_bytes: u64, world: World, allocator: Allocator) -> wasmtime::Result<Self> {
        let engine = code::engine(stack_bytes, world, allocator)?;
        let linkers = guest::linkers(&engine, world)?;
        Ok(Self {
            engine,
            linkers,
            target: Target {
                stack_bytes,
                world,
                pooled: allocator != Allocator::OnDemand,
            },
        })
    }

    /// What code has to be compiled for to run here.
    pub(super) fn target(&self) -> Target {
        self.target
    }
}

/// Both worlds.
pub(super) struct Worlds {
    real: Side,
    deterministic: Side,
    /// For guests who can be killed with their process, where the operator wants it.
    unmetered: Option<Side>,
    /// What results say, for each profile, and of guests whose code checks nothing.
    told: [Arc<model::Engine>; 3],
    told_unmetered: [Arc<model::Engine>; 3],
}

impl Worlds {
    pub(super) fn new(
        stack_bytes: u64,
        isolation: &str,
        allocator: Allocator,
        metering: Metering,
    ) -> wasmtime::Result<Self> {
        let side = |world| Side::new(stack_bytes, world, allocator);
        let told = |metering| {
            Profile::ALL.map(|profile| Arc::new(described(profile, isolation, metering)))
        };
        Ok(Self {
            real: side(World::Real)?,
            deterministic: side(World::Virtual)?,
            unmetered: match metering {
                Metering::Full => None,
                Metering::Time => Some(side(World::Unmetered)?),
            },
            told: told(Metering::Full),
            told_unmetered: told(Metering::Time),
        })
    }

    /// Where the guest of `job` lives. One who asks for fuel has it counted, and the virtual world
    /// is the same for everybody.
    pub(super) fn of(&self, job: &Job) -> World {
        let asks = job.limits.fuel.set_by == SetBy::Task;
        match World::of(job.profile) {
            World::Real if self.unmetered.is_some() && !asks => World::Unmetered,
            world => world,
        }
    }

    pub(super) fn side(&self, world: World) -> &Side {
        match world {
            World::Real => &self.real,
            World::Unmetered => self.unmetered.as_ref().unwrap_or(&self.real),
            World::Virtual => &self.deterministic,
        }
    }

    /// Whether guests of `engine` live in the pool.
    pub(super) fn is_pooled(&self, engine: &Engine) -> bool {
        let sides = [&self.real, &self.deterministic].into_iter();
        let mut pooled = sides.filter_map(|side| side.pooled.as_ref());
        pooled.any(|half| Engine::same(&half.engine, engine))
    }

    /// What the result of `job` says about its engine.
    pub(super) fn told(&self, job: &Job) -> Arc<model::Engine> {
        let told = match self.of(job) {
            World::Unmetered => &self.told_unmetered,
            World::Real | World::Virtual => &self.told,
        };
        Arc::clone(&told[job.profile as usize])
    }

    /// The engines, for whoever has to make guests yield.
    pub(super) fn engines(&self) -> Vec<Engine> {
        let sides = [&self.real, &self.deterministic].into_iter();
        let halves = sides.flat_map(|side| side.pooled.iter().chain([&side.on_demand]));
        halves.map(|half| half.engine.clone()).collect()
    }
}

/// What a result says about the engine that made it.
fn described(profile: Profile, isolation: &str, metering: Metering) -> model::Engine {
    let more = match World::of(profile) {
        World::Real | World::Unmetered => &[][..],
        World::Virtual => &VIRTUAL_FEATURES[..],
    };
    let counts = |feature: &&&str| metering == Metering::Full || **feature != "fuel";
    let mut features: Vec<String> = FEATURES
        .iter()
        .filter(counts)
        .chain(more)
        .map(ToString::to_string)
        .collect();
    features.sort();
    model::Engine {
        name: "wasmtime".to_owned(),
        version: WASMTIME_VERSION.to_owned(),
        sandbox: env!("CARGO_PKG_VERSION").to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        profile,
        isolation: isolation.to_owned(),
        features,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_results_name_is_the_one_that_is_locked() {
        let lock = include_str!("../../../../Cargo.lock");
        let entry = format!("name = \"wasmtime\"\nversion = \"{WASMTIME_VERSION}\"\n");
        assert!(lock.contains(&entry));
    }

    /// A proplet has places for 4,096 guests at most, in each world, and falls back on the operating
    /// system without a word to anybody but its log.
    #[test]
    fn the_largest_pool_fits_into_an_address_space() {
        let allocator = Allocator::Pooling { guests_max: 4096 };
        let worlds = Worlds::new(1 << 20, "in-process", allocator, Metering::Full)
            .expect("the engines start");
        assert!(worlds.real.pooled.is_some() && worlds.deterministic.pooled.is_some());
    }

    #[test]
    fn a_result_says_what_made_it_deterministic() {
        let engine = described(Profile::Deterministic, "process", Metering::Full);
        assert!(engine.features.is_sorted());
        assert!(engine.features.contains(&"nan-canonicalization".to_owned()));
        let pure = described(Profile::Pure, "process", Metering::Full);
        assert!(!pure.features.contains(&"virtual-time".to_owned()));
    }
}
