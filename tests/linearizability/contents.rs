//! What happens in histories: so that a run that found nothing wrong is known to have had something in it that could have been.

use std::collections::BTreeMap;
use std::fmt;

use crate::history::Act;
use crate::history::History;
use crate::history::Outcome;
use crate::history::Seen;

/// How often each thing has happened.
#[derive(Default)]
pub struct Contents(BTreeMap<&'static str, u64>);

/// All that has a name, in no order.
const THINGS: [&str; 32] = [
    "value read",
    "nothing read",
    "read torn",
    "walk met an entry",
    "walk met none",
    "write",
    "write refused for its source",
    "condition held",
    "condition did not hold",
    "transaction refused for a source",
    "value too heavy",
    "value removed",
    "nothing to remove",
    "invalidation at a source",
    "invalidation at an old source",
    "fence",
    "clear",
    "group ended",
    "load begun",
    "refresh begun",
    "load landed",
    "lease filled",
    "lease filled too late",
    "load given up",
    "value had from elsewhere",
    "refreshed by another",
    "error had from another",
    "write through begun",
    "write through ended",
    "write through disturbed",
    "write through given up",
    "clock moved",
];

fn name(act: &Act) -> &'static str {
    match act {
        Act::Read { seen: Seen::Value(_) | Seen::Something, .. } => "value read",
        Act::Read { torn: true, .. } => "read torn",
        Act::Read { .. } => "nothing read",
        Act::Met(_) => "walk met an entry",
        Act::Unmet { .. } => "walk met none",
        Act::Write(_) => "write",
        Act::Superseded { .. } => "write refused for its source",
        Act::Aborted { .. } => "transaction refused for a source",
        Act::Expect(_) => "condition held",
        Act::Conflict { .. } => "condition did not hold",
        Act::TooHeavy => "value too heavy",
        Act::Remove(Seen::Nothing) => "nothing to remove",
        Act::Remove(_) | Act::RemoveValue(_) => "value removed",
        Act::InvalidateAt { done: Some(false), .. } => "invalidation at an old source",
        Act::InvalidateAt { .. } => "invalidation at a source",
        Act::Fence | Act::MayFence => "fence",
        Act::Clear => "clear",
        Act::EndGroup(_) => "group ended",
        Act::Lead { refresh: false, .. } => "load begun",
        Act::Lead { .. } => "refresh begun",
        Act::Land { outcome: Outcome::Untold, .. } => "load landed",
        Act::Land { outcome: Outcome::Stored, .. } => "lease filled",
        Act::Land { .. } => "lease filled too late",
        Act::Abandon(_) => "load given up",
        Act::Loaded { began: None, .. } => "value had from elsewhere",
        Act::Loaded { .. } => "refreshed by another",
        Act::LoadFailed(_) => "error had from another",
        Act::BeginWrite { .. } => "write through begun",
        Act::EndWrite { outcome: Outcome::Stored, .. } => "write through ended",
        Act::EndWrite { value: Some(_), .. } => "write through disturbed",
        Act::EndWrite { .. } => "write through given up",
        Act::Advance(_) => "clock moved",
    }
}

impl Contents {
    pub fn add(&mut self, history: &History) {
        for (_, act) in history.steps.iter().flat_map(|step| &step.acts) {
            *self.0.entry(name(act)).or_default() += 1;
        }
    }

    /// What has not happened so often.
    pub fn rarer_than(&self, often: u64) -> Vec<&'static str> {
        THINGS.into_iter().filter(|thing| self.0.get(thing).is_none_or(|&times| times < often)).collect()
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(thing, times)| writeln!(f, "{times:>9} {thing}"))
    }
}
