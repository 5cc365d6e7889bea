//! Which entries of a stripe belong to which groups, with its lock held. Groups are known by their hash alone: two of equal hash are one,
//! and ending the one then costs the other's entries a load.
//!
//! A load may bring a value for a group that was invalidated while the loader ran, and nobody can know before it does. So as long as
//! loads are under way the stripe remembers which groups were invalidated, and asks when a value is to be stored.

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::event::Cause;
use crate::flight::next_number;
use crate::sync::Broken;
use crate::sync::is_broken;

use super::flights::Fences;
use super::index::spread;
use super::locked::Locked;
use super::locked::Resident;

/// Invalidated groups that a stripe remembers at most. Beyond that the loads under way are fenced instead, whatever they bring.
const MOST_ENDED: usize = 4096;
/// A list with room for more is given back when it is empty.
const SMALL: usize = 16;

/// The entries of one group.
struct Group {
    group: u64,
    slots: Vec<u32>,
}

/// The groups of one entry, and its place in the list of each.
struct Membership {
    slot: u32,
    places: SmallVec<[(u64, u32); 2]>,
}

/// A group that was invalidated while loads were under way.
struct EndedGroup {
    group: u64,
    /// The stripe's revision then, of the last time.
    revision: u64,
    /// Seats from this number on were taken after that, of the first time.
    number: u64,
}

pub(super) struct Groups {
    groups: HashTable<Group>,
    memberships: HashTable<Membership>,
    ended: HashTable<EndedGroup>,
}

fn place_of(slot: u32) -> u64 {
    spread(u64::from(slot))
}

impl Groups {
    pub(super) const fn new() -> Self {
        Groups { groups: HashTable::new(), memberships: HashTable::new(), ended: HashTable::new() }
    }

    /// Is no entry in a group, and none remembered?
    pub(super) fn is_quiet(&self) -> bool {
        self.memberships.is_empty() && self.ended.is_empty()
    }

    pub(super) fn memory(&self) -> usize {
        let tables = self.groups.allocation_size() + self.memberships.allocation_size() + self.ended.allocation_size();
        let slots: usize = self.groups.iter().map(|group| group.slots.capacity() * size_of::<u32>()).sum();
        let spilled = self.memberships.iter().filter(|membership| membership.places.spilled());
        let places: usize = spilled.map(|membership| size_of_val(&*membership.places)).sum();
        tables + slots + places
    }

    /// Enters an entry in its groups, each named once.
    fn join(&mut self, slot: u32, groups: &[u64]) {
        let places = groups.iter().map(|&group| (group, self.enter(group, slot))).collect();
        self.memberships.insert_unique(place_of(slot), Membership { slot, places }, |member| place_of(member.slot));
    }

    fn enter(&mut self, group: u64, slot: u32) -> u32 {
        let entry = self.groups.entry(group, |other| other.group == group, |other| other.group);
        let mut entry = entry.or_insert_with(|| Group { group, slots: Vec::new() });
        let slots = &mut entry.get_mut().slots;
        slots.push(slot);
        slots.len() as u32 - 1
    }

    /// Enters an entry in the place of another, if it is in the same groups. False if it is not.
    fn follow(&mut self, old: u32, slot: u32, groups: &[u64]) -> bool {
        let is_same = |member: &Membership| member.slot == old && member.places.iter().map(|(group, _)| group).eq(groups);
        let Ok(member) = self.memberships.find_entry(place_of(old), is_same) else { return false };
        let (Membership { places, .. }, _) = member.remove();
        for &(group, place) in &*places {
            if let Some(entry) = self.groups.find_mut(group, |other| other.group == group) {
                entry.slots[place as usize] = slot;
            }
        }
        self.memberships.insert_unique(place_of(slot), Membership { slot, places }, |member| place_of(member.slot));
        true
    }

    /// Strikes an entry off the lists of its groups.
    fn leave(&mut self, slot: u32) {
        let Ok(member) = self.memberships.find_entry(place_of(slot), |member| member.slot == slot) else { return };
        let (Membership { places, .. }, _) = member.remove();
        places.iter().for_each(|&(group, place)| self.strike(group, place));
        if self.memberships.is_empty() {
            give_back(&mut self.memberships);
            give_back(&mut self.groups);
        }
    }

    fn strike(&mut self, group: u64, place: u32) {
        let Ok(mut entry) = self.groups.find_entry(group, |other| other.group == group) else { return };
        let slots = &mut entry.get_mut().slots;
        slots.swap_remove(place as usize);
        let moved = slots.get(place as usize).copied();
        if slots.is_empty() {
            entry.remove();
        } else if slots.capacity() > SMALL && slots.len() < slots.capacity() / 4 {
            slots.shrink_to(slots.len() * 2);
        }
        if let Some(moved) = moved {
            self.note_move(moved, group, place);
        }
    }

    /// The last entry of a group's list took the place of one that left.
    fn note_move(&mut self, slot: u32, group: u64, place: u32) {
        let member = self.memberships.find_mut(place_of(slot), |member| member.slot == slot);
        let places = member.into_iter().flat_map(|member| member.places.iter_mut());
        places.filter(|(of, _)| *of == group).for_each(|(_, at)| *at = place);
    }

    fn members(&self, group: u64) -> Vec<u32> {
        self.groups.find(group, |other| other.group == group).map_or(Vec::new(), |group| group.slots.clone())
    }

    /// Remembers that a group was invalidated, at a revision and before a seat number.
    fn end(&mut self, group: u64, revision: u64, number: u64) {
        let entry = self.ended.entry(group, |other| other.group == group, |other| other.group);
        entry.or_insert_with(|| EndedGroup { group, revision, number }).get_mut().revision = revision;
    }
}

fn give_back<T>(table: &mut HashTable<T>) {
    if table.capacity() > SMALL {
        *table = HashTable::new();
    }
}

/// An entry of a group that is invalidated, and the load of its key.
pub(crate) struct Member<'a, K, V> {
    resident: Resident<'a, K, V>,
    fences: Fences,
}

impl<K, V> Locked<'_, K, V> {
    #[inline(always)]
    pub(super) fn join_groups(&mut self, slot: u32, groups: &[u64]) {
        if !groups.is_empty() {
            self.state.quiet = false;
            self.state.groups.join(slot, groups);
        }
    }

    /// An entry takes the place of another.
    #[inline(always)]
    pub(super) fn follow_in_groups(&mut self, old: u32, slot: u32, groups: &[u64]) {
        if self.state.groups.memberships.is_empty() && groups.is_empty() {
            return;
        }
        if !self.state.groups.follow(old, slot, groups) {
            self.leave_groups(old);
            self.join_groups(slot, groups);
        }
    }

    #[inline(always)]
    pub(super) fn leave_groups(&mut self, slot: u32) {
        if !self.state.groups.memberships.is_empty() {
            self.state.groups.leave(slot);
        }
    }

    /// Was one of these groups invalidated after the stripe had reached revision `mark`?
    pub(crate) fn ended_since(&self, groups: &[u64], mark: u64) -> bool {
        if is_broken(Broken::EndedGroup) {
            return false;
        }
        let ended = &self.state.groups.ended;
        let find = |&group: &u64| ended.find(group, |other| other.group == group);
        groups.iter().filter_map(find).any(|ended| ended.revision > mark)
    }

    /// Was any? Then seats from this number on were taken later.
    pub(super) fn any_ended_since(&self, mark: u64) -> Option<u64> {
        let ended = self.state.groups.ended.iter().filter(|ended| ended.revision > mark);
        ended.map(|ended| ended.number).min()
    }

    /// A group has been invalidated: what is loaded for it now, and began before, may not be stored.
    pub(crate) fn end_group(&mut self, group: u64) {
        self.state.revision += 1;
        if self.state.flights.is_empty() {
            return;
        }
        if self.state.groups.ended.len() >= MOST_ENDED && !self.make_room_for_ended() {
            self.fence_all();
            self.forget_ended_groups();
            return;
        }
        self.state.quiet = false;
        let revision = self.state.revision;
        self.state.groups.end(group, revision, next_number());
    }

    /// Forgets groups that ended before the oldest load or write that is under way began. Is there room then?
    fn make_room_for_ended(&mut self) -> bool {
        let oldest = self.oldest_mark();
        let ended = &mut self.state.groups.ended;
        ended.retain(|ended| ended.revision > oldest);
        ended.len() < MOST_ENDED / 2
    }

    /// No load is under way that began before a group ended.
    #[inline(always)]
    pub(super) fn forget_ended_groups(&mut self) {
        if !self.state.groups.ended.is_empty() {
            self.state.groups.ended = HashTable::new();
        }
    }
}

impl<'a, K: Eq, V> Locked<'a, K, V> {
    /// The entries of a group, and what is to be fenced with each. Keys are compared here, and not any more when they end.
    pub(crate) fn members(&self, group: u64) -> Vec<Member<'a, K, V>> {
        let member = |slot| {
            let resident = self.resident(slot);
            let key = self.key_of(resident);
            Member { resident, fences: self.fences_of(resident.node.hash(), key) }
        };
        self.state.groups.members(group).into_iter().map(member).collect()
    }

    /// Takes every entry of a group out, fences their loads and those that will bring values for it; how many entries they were.
    pub(crate) fn invalidate_group(&mut self, group: u64, now: u64) -> usize {
        let members = self.members(group);
        self.end_group(group);
        let mut ended = 0;
        for member in members {
            if self.hide_member(&member) {
                self.end_member(member, now);
                ended += 1;
            }
        }
        ended
    }

    /// False if the entry is out of sight already.
    pub(crate) fn hide_member(&mut self, member: &Member<'a, K, V>) -> bool {
        self.hide_resident(member.resident)
    }

    /// Ends a member that is out of sight.
    pub(crate) fn end_member(&mut self, member: Member<'a, K, V>, now: u64) {
        let Member { resident, fences } = member;
        if let Some(flight) = self.take_fences(resident.node.hash(), fences) {
            self.flight_ended(flight, None);
        }
        self.leave(resident, Cause::Invalidated, now);
    }
}
