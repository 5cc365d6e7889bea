//! What an adapter implements: how to build its contender, for entries of any type.

use crate::workload;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;

pub trait Family: 'static {
    const NAME: &'static str;
    const KIND: Kind = Kind::Cache;
    /// [`Target::get_with`] works.
    const LOADS: bool = false;
    /// [`Target::get_with_async`] works.
    const LOADS_ASYNC: bool = false;
    /// [`Target::insert_at`] and [`Target::swap`] work.
    const VERSIONS: bool = false;
    /// What the others' ratios are taken to, in the rows that it takes.
    const REFERENCE: bool = false;
    /// It may keep more entries than it is told to.
    const MORE_ROOM: bool = false;
    /// It keeps all that it is given until a thread of its own gets round to choosing.
    const LAGS: bool = false;

    type Of<K: Key, V: Value>: Target<K, V> + Send;
    /// With a weigher.
    type Weighing<K: Key, V: Weigh>: Target<K, V> + Send;

    /// As a user would build it, but with ahash.
    fn new<K: Key, V: Value>(capacity: u64) -> Self::Of<K, V>;

    /// The same, but values tell their weight, and about so many entries are expected. None if it cannot weigh.
    fn weighing<K: Key, V: Weigh>(_capacity: u64, _entries: u64) -> Option<Self::Weighing<K, V>> {
        None
    }

    /// With the keys `0..n` in it.
    fn filled<K: Key, V: Value>(capacity: u64, n: u64) -> Self::Of<K, V> {
        let target = Self::new(capacity);
        workload::fill(&target, n);
        target
    }

    /// Does what the contender puts off. Called before its entries or memory are counted, never in a timed run.
    fn settle<K: Key, V: Value>(_target: &Self::Of<K, V>) {}

    /// The same with a weigher.
    fn settle_weighing<K: Key, V: Weigh>(_target: &Self::Weighing<K, V>) {}
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Cache,
    /// For tasks alone.
    Tasks,
    /// A cache behind a gate, for versioned writes alone.
    Gate,
    /// Never evicts.
    Map,
    /// Never evicts, and is only read: the limit.
    Limit,
}

/// A value that tells what it weighs.
pub trait Weigh: Value {
    fn weight(&self) -> u32;
}
