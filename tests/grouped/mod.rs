//! What the tests of groups share: values that say themselves which groups they are in.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of it")]

use brindle::Builder;
use brindle::Cache;

pub type Numbers = Cache<u64, u64>;

/// Groups that a value can name.
pub const GROUPS: u64 = 8;

/// A value that names each of its groups twice.
const TWICE: u64 = 1 << GROUPS;

/// Number `id`, in these groups.
pub const fn value(id: u64, groups: &[u64]) -> u64 {
    let (mut value, mut at) = (id << 16, 0);
    while at < groups.len() {
        value |= 1 << groups[at];
        at += 1;
    }
    value
}

/// The same, and every group is named twice.
pub const fn twice(id: u64, groups: &[u64]) -> u64 {
    value(id, groups) | TWICE
}

/// What `group_by` says of a value.
pub fn groups_of(value: u64) -> Vec<u64> {
    let named = (0..GROUPS).filter(|group| value >> group & 1 == 1);
    let times = if value & TWICE == 0 { 1 } else { 2 };
    named.flat_map(|group| std::iter::repeat_n(group, times)).collect()
}

pub fn builder() -> Builder<u64, u64> {
    Cache::builder().max_capacity(100_000).stripes(2).group_by(|_, value| groups_of(*value))
}

pub fn grouped() -> Numbers {
    builder().build().unwrap()
}

/// Those of the keys that can be read, with their values.
pub fn read(cache: &Numbers, keys: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    keys.into_iter().filter_map(|key| Some((key, cache.peek(&key)?))).collect()
}
