//! A timer wheel: which slots of a stripe fall due, in the order of time. Knows slot numbers and deadlines, nothing
//! of what is in the slots; reads no clock; lives under its stripe's lock.
//!
//! A hierarchical timing wheel (Varghese and Lauck, 1987), its levels laid out as the digits of a radix heap (Ahuja,
//! Mehlhorn, Orlin and Tarjan, 1990): a slot is kept at the highest base-64 digit in which its deadline differs from
//! the `cursor`, the moment up to which the wheel has turned. Eleven digits make up a `u64`, so a level is never
//! lapped, nothing overflows, and a deadline is kept to the nanosecond. Two things follow from the layout:
//!
//! - Every bucket begins after the cursor, but for two: the one at the cursor itself, which holds what was due when
//!   it was scheduled, and one that a turn broke off in the middle of (for its limit) and the next turn goes on with.
//! - A jump of any length meets no empty bucket, for one bit a bucket tells which are in use.

use crate::time::deadline::NEVER;
use crate::time::deadline::is_due;

/// Bits in a digit, so that the buckets of a level are the bits of one word.
const DIGIT: u32 = 6;
const BUCKETS: usize = 1 << DIGIT;
const LEVELS: usize = u64::BITS.div_ceil(DIGIT) as usize;

/// No slot.
const NONE: u32 = u32::MAX;
/// Marks a `before` link that names a bucket, which makes the slot the first of it.
const FIRST: u32 = 1 << 31;

/// See the head of this file.
pub(crate) struct Wheel {
    /// By slot. As long as the highest slot ever scheduled.
    timers: Vec<Timer>,
    /// The first slot of each bucket, by bucket number. Empty until something is scheduled.
    heads: Vec<u32>,
    /// For each level one bit a bucket: whether it has a slot.
    occupied: [u64; LEVELS],
    /// How far the wheel has turned.
    cursor: u64,
    /// No turn to a moment before this reports anything.
    next: u64,
}

/// The deadline of a slot and its place in the list of its bucket. Without a deadline it is in no list.
#[derive(Clone, Copy)]
struct Timer {
    deadline: u64,
    before: u32,
    after: u32,
}

const UNSCHEDULED: Timer = Timer { deadline: NEVER, before: NONE, after: NONE };

/// A bucket, named by a level and a digit.
#[derive(Clone, Copy)]
struct Bucket {
    level: usize,
    digit: u64,
}

impl Bucket {
    /// Where a wheel that has turned to `cursor` keeps `deadline`.
    fn of(deadline: u64, cursor: u64) -> Self {
        // What is overdue goes where the cursor is.
        let deadline = deadline.max(cursor);
        // `| 1` puts equal moments on level 0 without changing the level of others.
        let highest = ((deadline ^ cursor) | 1).ilog2();
        let level = (highest / DIGIT) as usize;
        let digit = (deadline >> Self::shift(level)) % BUCKETS as u64;
        Self { level, digit }
    }

    fn from_number(number: u32) -> Self {
        Self { level: number as usize / BUCKETS, digit: u64::from(number) % BUCKETS as u64 }
    }

    fn number(self) -> usize {
        self.level * BUCKETS + self.digit as usize
    }

    /// The first and the last moment of the bucket, in a wheel that has turned to `cursor`.
    fn span(self, cursor: u64) -> (u64, u64) {
        let shift = Self::shift(self.level);
        let below = (1 << shift) - 1;
        let above = !(below | ((BUCKETS as u64 - 1) << shift));
        let start = (cursor & above) | (self.digit << shift);
        (start, start | below)
    }

    fn shift(level: usize) -> u32 {
        level as u32 * DIGIT
    }
}

impl Wheel {
    /// A wheel that has not turned yet. Allocates nothing until something is scheduled.
    pub(crate) const fn new() -> Self {
        Self { timers: Vec::new(), heads: Vec::new(), occupied: [0; LEVELS], cursor: 0, next: NEVER }
    }

    /// Makes `slot` fall due at `deadline` (nanoseconds on the clock by which the wheel is turned), instead of any
    /// earlier schedule of it; [`NEVER`] only cancels. O(1), but for growing. Slots are numbers below 2^31.
    pub(crate) fn schedule(&mut self, slot: u32, deadline: u64) {
        self.cancel(slot);
        if deadline == NEVER {
            return;
        }
        self.make_room(slot);
        self.timers[slot as usize].deadline = deadline;
        self.link(slot);
        self.next = self.next.min(deadline);
    }

    /// Forgets the schedule of `slot`, if it has one. O(1).
    pub(crate) fn cancel(&mut self, slot: u32) {
        let scheduled = self.timers.get(slot as usize);
        if scheduled.is_some_and(|timer| timer.deadline != NEVER) {
            self.unlink(slot);
            self.timers[slot as usize] = UNSCHEDULED;
        }
    }

    /// Schedules `new` in the place of `old`. O(1).
    pub(crate) fn replace(&mut self, old: u32, new: u32, deadline: u64) {
        self.cancel(old);
        self.schedule(new, deadline);
    }

    /// Turns the wheel towards `now` and pushes slots whose deadline has come, at most `limit` of them, in no
    /// particular order. They are scheduled no longer.
    ///
    /// Touches at most `limit` times the number of levels, 11, of slots, and takes up next time where it stopped: as
    /// a slot goes down a level whenever it is touched, turning keeps pace with scheduling if `limit` is above the
    /// number of slots scheduled in between. What is due and not yet pushed stays due, and
    /// [`next_due`](Self::next_due) stays at or before `now` until no such slot is left: who wants them all turns as
    /// long as that holds. O(1) once it does not. A `now` before that of an earlier call does no harm.
    pub(crate) fn advance(&mut self, now: u64, limit: usize, due: &mut Vec<u32>) {
        let mut reports = limit;
        let mut touches = limit.saturating_mul(LEVELS);
        while self.next <= now {
            let Some((bucket, start, last)) = self.first() else {
                self.next = NEVER;
                break;
            };
            if start > now {
                self.next = start;
                break;
            }
            self.enter(start, last, now);
            while let Some(slot) = self.head(bucket) {
                if reports == 0 || touches == 0 {
                    return;
                }
                touches -= 1;
                if self.take(slot, now) {
                    due.push(slot);
                    reports -= 1;
                }
            }
        }
        // Every bucket begins after `now`, so each keeps its place if the cursor goes there.
        self.cursor = self.cursor.max(now);
    }

    /// A moment before which a turn reports nothing; [`NEVER`] if nothing is scheduled. The first deadline may be
    /// later. O(1).
    pub(crate) const fn next_due(&self) -> u64 {
        self.next
    }

    /// Whether nothing is scheduled. O(1).
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.occupied == [0; LEVELS]
    }

    /// Forgets all schedules, keeping the memory for new ones. O(n).
    #[cfg(test)]
    pub(crate) fn clear(&mut self) {
        self.timers.clear();
        self.heads.fill(NONE);
        self.occupied = [0; LEVELS];
        self.next = NEVER;
    }

    /// Bytes allocated.
    pub(crate) const fn memory(&self) -> usize {
        self.timers.capacity() * size_of::<Timer>() + self.heads.capacity() * size_of::<u32>()
    }

    /// The bucket in use that begins first, with its first and last moment.
    fn first(&self) -> Option<(Bucket, u64, u64)> {
        let in_use = (0..LEVELS).filter(|&level| self.occupied[level] != 0);
        let firsts = in_use.map(|level| {
            let digit = u64::from(self.occupied[level].trailing_zeros());
            let bucket = Bucket { level, digit };
            let (start, last) = bucket.span(self.cursor);
            (bucket, start, last)
        });
        firsts.min_by_key(|&(_, start, _)| start)
    }

    /// Moves the cursor into the first bucket, as far as `now`, unless it is there already.
    ///
    /// No other bucket loses its place: those on lower levels are empty, for they would begin before this one, and
    /// what is on its own level or above still differs from the cursor in the same digit.
    fn enter(&mut self, start: u64, last: u64, now: u64) {
        if self.cursor < start {
            self.cursor = last.min(now);
        }
    }

    /// Takes `slot` out of the entered bucket: for good if it is due, which is the answer, or else to a lower level.
    fn take(&mut self, slot: u32, now: u64) -> bool {
        let due = is_due(self.timers[slot as usize].deadline, now);
        if due {
            self.cancel(slot);
        } else {
            self.unlink(slot);
            self.link(slot);
        }
        due
    }

    fn head(&self, bucket: Bucket) -> Option<u32> {
        let slot = self.heads[bucket.number()];
        (slot != NONE).then_some(slot)
    }

    fn make_room(&mut self, slot: u32) {
        debug_assert!(slot < FIRST, "slots are numbers below 2^31");
        if self.heads.is_empty() {
            self.heads = vec![NONE; LEVELS * BUCKETS];
        }
        let needed = slot as usize + 1;
        if self.timers.len() < needed {
            self.timers.resize(needed, UNSCHEDULED);
        }
    }

    /// Puts `slot`, which has a deadline and is in no list, first in its bucket.
    fn link(&mut self, slot: u32) {
        let bucket = Bucket::of(self.timers[slot as usize].deadline, self.cursor);
        let number = bucket.number();
        let after = std::mem::replace(&mut self.heads[number], slot);
        if after != NONE {
            self.timers[after as usize].before = slot;
        }
        let timer = &mut self.timers[slot as usize];
        timer.before = FIRST | number as u32;
        timer.after = after;
        self.occupied[bucket.level] |= 1 << bucket.digit;
    }

    /// Takes `slot` out of the list it is in.
    fn unlink(&mut self, slot: u32) {
        let Timer { before, after, .. } = self.timers[slot as usize];
        if after != NONE {
            self.timers[after as usize].before = before;
        }
        if before & FIRST == 0 {
            self.timers[before as usize].after = after;
        } else {
            self.set_head(before & !FIRST, after);
        }
    }

    fn set_head(&mut self, number: u32, slot: u32) {
        self.heads[number as usize] = slot;
        if slot == NONE {
            let bucket = Bucket::from_number(number);
            self.occupied[bucket.level] &= !(1 << bucket.digit);
        }
    }
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;
