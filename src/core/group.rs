//! Groups of entries: what a value belongs to, by the builder's choice or the writer's, and the end of all that belongs to one.

use std::hash::Hash;

use smallvec::SmallVec;

use super::Core;

/// The hashes of the groups of a pair.
pub(crate) type GroupsOf<K, V> = Box<dyn Fn(&K, &V) -> SmallVec<[u64; 2]> + Send + Sync>;

/// How groups are told apart, and which a value is in.
pub(crate) struct Grouping<K, V> {
    hasher: ahash::RandomState,
    groups_of: Option<GroupsOf<K, V>>,
}

impl<K, V> Grouping<K, V> {
    pub(crate) fn new() -> Self {
        Grouping { hasher: ahash::RandomState::new(), groups_of: None }
    }

    pub(crate) fn by<G: Hash, I: IntoIterator<Item = G>>(mut self, groups: impl Fn(&K, &V) -> I + Send + Sync + 'static) -> Self {
        let hasher = self.hasher.clone();
        let hash = move |group: G| hasher.hash_one(group);
        self.groups_of = Some(Box::new(move |key, value| groups(key, value).into_iter().map(&hash).collect()));
        self
    }

    pub(crate) fn hash<G: Hash + ?Sized>(&self, group: &G) -> u64 {
        self.hasher.hash_one(group)
    }

    /// Does every value have its groups from its writer alone?
    pub(super) fn is_explicit(&self) -> bool {
        self.groups_of.is_none()
    }

    /// The groups of a pair, each once: those that it has by itself, and those that its writer names.
    pub(super) fn groups(&self, key: &K, value: &V, named: &[u64]) -> SmallVec<[u64; 2]> {
        let mut groups = self.groups_of.as_ref().map_or(SmallVec::new(), |groups_of| groups_of(key, value));
        if groups.is_empty() && named.is_empty() {
            return groups;
        }
        groups.extend_from_slice(named);
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

impl<K: Eq, V> Core<K, V> {
    /// Takes every entry of a group out, stripe after stripe, and fences the loads that belong to it; how many entries they were.
    pub(crate) fn invalidate_group(&self, group: u64) -> usize {
        let in_stripe = |number| self.transition_in(number, |locked, now| locked.invalidate_group(group, now));
        (0..self.table.stripes().len()).map(in_stripe).sum()
    }
}
