//! The kinds of caches that histories are made of.

use crate::plans::Kind;
use crate::plans::Kind::*;
use crate::plans::Setup;
use crate::rules::Memory;
use crate::rules::Rules;

/// A cache that keeps what it gets, and one that has little room.
pub const RULES: Rules = Rules {
    evicts: false,
    memory: Memory::Whole,
    replaces_equal: false,
    time_to_live: None,
    load_timeout: None,
    hides_written: false,
};
pub const EVICTS: Rules = Rules { evicts: true, ..RULES };

const fn setup(name: &'static str, keys: u8, near: bool, rules: Rules, kinds: &'static [Kind]) -> Setup {
    let capacity = if rules.evicts { 2 } else { u64::MAX };
    let stripes = if near { 1 } else { 4 };
    let threads = if keys == 4 { 4 } else { 3 };
    Setup { name, keys, threads, capacity, stripes, near, grouped: false, rules, kinds }
}

const WRITES: &[Kind] = &[Read, Read, Read, Write, Write, Swap, Swap, Swap, Remove, Sweep, Many];
const SOURCES: &[Kind] = &[Read, Read, Source, Source, Source, Source, Write, Swap, Remove];
const LOADS: &[Kind] = &[Read, Write, Remove, Load, Load, Load, Load, Refresh, Lease, Sweep];
const SOURCED_LOADS: &[Kind] = &[Read, Source, Source, Remove, Load, Load, Refresh, Lease, Lease];
const MANY_LOADS: &[Kind] = &[Read, Write, Remove, LoadMany, LoadMany, LoadMany, LoadMany, Load, Refresh, Lease];
const RELATED: &[Kind] = &[Read, Many, Snapshot, Snapshot, Write, Swap, Remove, Commit, Commit, Commit];
const RELATED_LOADS: &[Kind] = &[Read, Snapshot, Write, Remove, Commit, Commit, Load, Load, Lease, Source];
const GROUPS: &[Kind] = &[Read, Read, Write, Group, Group, Load, Load, Load, Lease, Refresh];
const GROUPED_COMMITS: &[Kind] = &[Read, Snapshot, Write, Group, Commit, Commit, Load, Load];
const TIMES: &[Kind] = &[Read, Read, Write, Write, Swap, Remove, Time, Time, Load, Load];
const LATE: &[Kind] = &[Read, Write, Remove, Time, Time, Load, Load, Load, Lease, Lease];
const THROUGH: &[Kind] = &[Read, Read, Write, Remove, Through, Through, Through, Load, Load, Lease];
const SOURCED_THROUGH: &[Kind] = &[Read, Source, Source, Remove, Through, Through, Load, Load, Group];
const ALL: &[Kind] =
    &[Read, Many, Snapshot, Write, Swap, Remove, Sweep, Group, Commit, Load, LoadMany, Refresh, Lease, Through, Capacity];

/// Each is played as often as any other.
pub fn setups() -> Vec<Setup> {
    let sources = |memory| Rules { memory, ..EVICTS };
    let ttl = Some(8);
    vec![
        setup("writes", 2, true, RULES, WRITES),
        setup("writes and evictions", 4, true, EVICTS, WRITES),
        setup("sources", 2, false, RULES, SOURCES),
        setup("sources, the last stays", 2, true, Rules { replaces_equal: true, ..RULES }, SOURCES),
        setup("sources and evictions", 4, true, EVICTS, SOURCES),
        setup("sources and floors", 4, true, sources(Memory::Floors), SOURCES),
        setup("sources forgotten", 4, true, sources(Memory::Forgetful), SOURCES),
        setup("loads of one key", 1, true, RULES, LOADS),
        setup("loads", 2, true, RULES, LOADS),
        setup("loads and evictions", 4, true, EVICTS, LOADS),
        setup("loads and sources", 2, false, RULES, SOURCED_LOADS),
        setup("loads and floors", 4, true, sources(Memory::Floors), SOURCED_LOADS),
        setup("loads of many keys", 2, true, RULES, MANY_LOADS),
        setup("loads of many keys and evictions", 4, false, EVICTS, MANY_LOADS),
        setup("related keys", 3, false, RULES, RELATED),
        setup("related keys in one stripe", 3, true, RULES, RELATED),
        setup("related keys and evictions", 4, true, EVICTS, RELATED),
        setup("related keys, loads and sources", 3, false, RULES, RELATED_LOADS),
        Setup { grouped: true, ..setup("groups", 2, true, RULES, GROUPS) },
        Setup { grouped: true, ..setup("groups and commits", 3, false, RULES, GROUPED_COMMITS) },
        setup("times to live", 2, true, Rules { time_to_live: ttl, ..RULES }, TIMES),
        setup("late loads", 1, true, Rules { load_timeout: ttl, ..RULES }, LATE),
        setup("late loads and evictions", 3, true, Rules { load_timeout: ttl, ..EVICTS }, LATE),
        setup("writes through", 1, true, RULES, THROUGH),
        setup("writes through, hidden", 2, true, Rules { hides_written: true, ..RULES }, THROUGH),
        Setup { grouped: true, ..setup("writes through and sources", 2, false, RULES, SOURCED_THROUGH) },
        Setup { grouped: true, ..setup("all", 4, false, EVICTS, ALL) },
    ]
}
