//! What a job puts into the places of a template.

use super::template::Slot;
use crate::job::Job;

/// Where the runtime finds the module.
const MODULE: &str = "/proc/self/fd/3";

/// What a job has for the places of a template.
pub(super) struct Fill<'a> {
    pub(super) job: &'a Job,
    pub(super) function: Option<&'a str>,
    pub(super) args: Vec<String>,
    /// Whether the memory's maximum is ours.
    pub(super) lowered: bool,
    pub(super) file: Option<&'a str>,
}

impl Fill<'_> {
    pub(super) fn values(&self, slot: Slot) -> Vec<String> {
        let limits = &self.job.limits;
        match slot {
            Slot::Module => vec![MODULE.to_owned()],
            Slot::File => self.file.map(str::to_owned).into_iter().collect(),
            Slot::Name => vec![self.job.name.clone()],
            Slot::Args => self.args.clone(),
            Slot::Dashes if self.args.is_empty() => Vec::new(),
            Slot::Dashes => vec!["--".to_owned()],
            Slot::Env => {
                let pairs = self.job.env.iter();
                pairs
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect()
            }
            Slot::Invoke => self.function.map(str::to_owned).into_iter().collect(),
            Slot::Fuel => vec![limits.fuel.value.to_string()],
            Slot::Memory => vec![limits.memory_bytes.value.to_string()],
            // A sixteenth of the memory, at a pointer each.
            Slot::Table => vec![(limits.memory_bytes.value / 16 / 8).to_string()],
            Slot::Grow if self.lowered => vec!["y".to_owned()],
            Slot::Grow => Vec::new(),
            Slot::Stack => vec![limits.stack_bytes.value.to_string()],
            Slot::StackKib => vec![(limits.stack_bytes.value / 1024).max(1).to_string()],
            Slot::Script => vec![include_str!("node.js").to_owned()],
        }
    }
}
