//! What the cache was told, and whether what it yields may still be yielded.

use crate::choices::GROUPS;
use crate::choices::KEYS;
use crate::source::Value;

/// Where a value in the cache has come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A load, that said its version or not.
    Load { claims: bool },
    /// An event of the source, which came at its version.
    Event,
    /// A writer who said nothing of versions.
    Local,
}

#[derive(Clone, Copy, Debug)]
pub struct Instance {
    /// The step in which it was written, or its load began.
    pub born: u64,
    pub origin: Origin,
}

/// What was said up to some moment.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The step in which the key was last written, removed or invalidated.
    pub fenced: [u64; KEYS],
    /// The step in which its loads were last fenced, and the value that stayed.
    pub loads_fenced: [(u64, Option<usize>); KEYS],
    pub group_fenced: [u64; GROUPS],
    /// The newest version that was told of.
    pub told: [u64; KEYS],
    /// States up to this version were replaced or removed in the cache.
    pub sealed: [u64; KEYS],
}

impl Said {
    /// May a read of `key` that began then yield this value?
    pub fn allows(&self, key: u8, value: Value, instance: Instance, lenient: bool) -> Result<(), String> {
        let at = usize::from(key);
        let says = |why: &str| Err(format!("{why}: key {key} yields {value:?}, {instance:?}, said was {self:?}"));
        if value.key != key {
            return says("another key's");
        }
        if instance.born < self.fenced[at] {
            return says("born before the key was fenced");
        }
        let (fenced, stayed) = self.loads_fenced[at];
        if matches!(instance.origin, Origin::Load { .. }) && instance.born < fenced && stayed != Some(value.id) {
            return says("loaded before loads were fenced");
        }
        if instance.born < self.group_fenced[usize::from(value.group)] {
            return says("born before its group was ended");
        }
        if value.lsn < self.told[at] && !(lenient && instance.origin == Origin::Event) {
            return says("older than what was told of");
        }
        Ok(())
    }
}
