//! Tests of the wheel, most of them against a sorted map of deadlines.

use super::*;
use std::collections::BTreeMap;

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A length of time, every order of magnitude as likely as any other.
    fn span(&mut self, bits: u64) -> u64 {
        let shift = 64 - self.below(bits + 1);
        self.next().checked_shr(shift as u32).unwrap_or(0)
    }
}

fn due(wheel: &mut Wheel, now: u64, limit: usize) -> Vec<u32> {
    let mut due = Vec::new();
    wheel.advance(now, limit, &mut due);
    due.sort_unstable();
    due
}

/// The wheel beside the simplest thing that does the same.
struct Pair {
    wheel: Wheel,
    model: BTreeMap<u32, u64>,
    now: u64,
}

impl Pair {
    fn new() -> Self {
        Self { wheel: Wheel::new(), model: BTreeMap::new(), now: 0 }
    }

    fn schedule(&mut self, slot: u32, deadline: u64) {
        self.wheel.schedule(slot, deadline);
        self.expect(slot, deadline);
    }

    fn expect(&mut self, slot: u32, deadline: u64) {
        match deadline {
            NEVER => self.model.remove(&slot),
            _ => self.model.insert(slot, deadline),
        };
    }

    fn cancel(&mut self, slot: u32) {
        self.wheel.cancel(slot);
        self.model.remove(&slot);
    }

    fn replace(&mut self, old: u32, new: u32, deadline: u64) {
        self.wheel.replace(old, new, deadline);
        self.model.remove(&old);
        self.expect(new, deadline);
    }

    /// One limited turn: whatever is reported is due, once.
    fn turn(&mut self, now: u64, limit: usize) -> usize {
        self.now = self.now.max(now);
        let reported = due(&mut self.wheel, now, limit);
        assert!(reported.len() <= limit);
        for slot in &reported {
            let deadline = self.model.remove(slot).expect("reported though not scheduled");
            assert!(deadline <= now, "reported before its time");
        }
        reported.len()
    }

    /// Turns until the wheel has nothing to do before `now`: then nothing due is left.
    fn exhaust(&mut self, now: u64, limit: usize) {
        // Each turn touches a slot for every level, and there are no more levels to go down.
        let enough = self.model.len() + 1;
        for _ in 0..enough {
            if self.wheel.next_due() <= now {
                self.turn(now, limit);
            }
        }
        assert!(self.wheel.next_due() > now, "no end");
        assert!(self.model.values().all(|&deadline| deadline > now), "missed");
    }

    fn check(&self) {
        let first = self.model.values().min().copied();
        assert!(self.wheel.next_due() <= first.unwrap_or(NEVER).max(self.now));
        assert_eq!(self.wheel.is_empty(), self.model.is_empty());
        for (&slot, &deadline) in &self.model {
            assert_eq!(self.wheel.timers[slot as usize].deadline, deadline);
        }
        self.check_places();
    }

    /// Every slot is where its deadline belongs, and no bucket in use lies behind the cursor.
    fn check_places(&self) {
        let (heads, cursor) = (&self.wheel.heads, self.wheel.cursor);
        for (number, &head) in heads.iter().enumerate() {
            let bucket = Bucket::from_number(number as u32);
            let (start, last) = bucket.span(cursor);
            let in_use = self.wheel.occupied[bucket.level] >> bucket.digit & 1 == 1;
            assert_eq!(in_use, head != NONE);
            assert!(!in_use || cursor <= last);
            let mut slot = head;
            while slot != NONE {
                let Timer { deadline, after, .. } = self.wheel.timers[slot as usize];
                let overdue = deadline < cursor && start <= cursor;
                assert!(overdue || (start..=last).contains(&deadline));
                slot = after;
            }
        }
    }
}

fn random_deadline(random: &mut Random, now: u64) -> u64 {
    match random.below(20) {
        0 => NEVER,
        1 => now,
        2 => now.saturating_sub(random.span(40)),
        3 => now.saturating_add(random.span(64)),
        // Neighbours, so that buckets fill.
        4..10 => now.saturating_add(1 << 22).saturating_add(random.below(2000)),
        _ => now.saturating_add(random.span(34)),
    }
}

fn random_step(pair: &mut Pair, random: &mut Random, bits: u64) {
    let slot = random.below(300) as u32;
    let deadline = random_deadline(random, pair.now);
    match random.below(16) {
        0..8 => pair.schedule(slot, deadline),
        8 => pair.cancel(slot),
        9 => pair.replace(slot, random.below(300) as u32, deadline),
        10 => {
            let now = pair.now.saturating_add(random.span(bits)).min(NEVER - 1);
            pair.exhaust(now, 1 + random.below(8) as usize);
        }
        // A caller that read the clock before another one and comes after it.
        11 => drop(pair.turn(pair.now.saturating_sub(random.span(24)), 3)),
        _ => {
            let now = pair.now.saturating_add(random.span(bits)).min(NEVER - 1);
            pair.turn(now, random.below(6) as usize);
        }
    }
}

#[test]
fn agrees_with_a_sorted_map_over_random_histories() {
    for seed in 1..=60 {
        let mut random = Random(seed);
        let mut pair = Pair::new();
        // From creeping to jumps over days; some histories reach the end of time.
        let bits = [4, 12, 24, 34, 48, 60][seed as usize % 6];
        for _ in 0..1500 {
            random_step(&mut pair, &mut random, bits);
            pair.check();
        }
        pair.exhaust(NEVER - 1, 7);
        assert!(pair.wheel.is_empty());
    }
}

#[test]
fn with_room_enough_one_turn_reports_exactly_what_is_due() {
    for seed in 1..=100 {
        let mut random = Random(seed);
        let mut pair = Pair::new();
        for _ in 0..300 {
            for _ in 0..random.below(20) {
                let deadline = random_deadline(&mut random, pair.now);
                pair.schedule(random.below(500) as u32, deadline);
            }
            let now = pair.now.saturating_add(random.span(36)).min(NEVER - 1);
            let expected = pair.model.values().filter(|&&deadline| deadline <= now).count();
            assert_eq!(pair.turn(now, 10_000), expected);
        }
    }
}

#[test]
fn a_deadline_is_kept_to_the_nanosecond() {
    let mut wheel = Wheel::new();
    for deadline in [0, 1, 63, 64, 1 << 20, (1 << 36) + 5, (1 << 60) - 1, 1 << 63, NEVER - 1] {
        wheel.schedule(3, deadline);
        if deadline > 0 {
            assert_eq!(due(&mut wheel, deadline - 1, 9), []);
        }
        assert_eq!(due(&mut wheel, deadline, 9), [3]);
        assert_eq!(due(&mut wheel, deadline, 9), []);
    }
}

#[test]
fn what_is_overdue_when_scheduled_is_reported_at_once() {
    let mut wheel = Wheel::new();
    wheel.advance(1_000_000, 1, &mut Vec::new());
    wheel.schedule(0, 5);
    wheel.schedule(1, 1_000_000);
    wheel.schedule(2, 1_000_001);
    assert_eq!(due(&mut wheel, 1_000_000, 9), [0, 1]);
    assert_eq!(due(&mut wheel, 1_000_001, 9), [2]);
}

#[test]
fn a_later_schedule_takes_the_place_of_an_earlier_one() {
    let mut wheel = Wheel::new();
    wheel.schedule(0, 10);
    wheel.schedule(0, 20);
    assert_eq!(due(&mut wheel, 19, 9), []);
    assert_eq!(due(&mut wheel, 20, 9), [0]);
    wheel.schedule(0, 30);
    wheel.schedule(0, NEVER);
    assert!(wheel.is_empty());
    assert_eq!(due(&mut wheel, NEVER - 1, 9), []);
}

#[test]
fn replace_moves_the_schedule_to_another_slot() {
    let mut wheel = Wheel::new();
    wheel.schedule(0, 10);
    wheel.replace(0, 7, 11);
    assert_eq!(due(&mut wheel, 20, 9), [7]);
    wheel.replace(7, 7, 30);
    assert_eq!(due(&mut wheel, 30, 9), [7]);
}

#[test]
fn a_limited_turn_goes_on_where_the_last_one_stopped() {
    let mut wheel = Wheel::new();
    for slot in 0..10 {
        wheel.schedule(slot, 1_000 + u64::from(slot) * 1_000_000);
    }
    let mut all = Vec::new();
    for reported in [4, 4, 2, 0] {
        let before = all.len();
        wheel.advance(1 << 40, 4, &mut all);
        assert_eq!(all.len() - before, reported);
    }
    all.sort_unstable();
    assert_eq!(all, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_turn_in_the_midst_of_a_large_bucket_is_bounded_and_misses_nothing() {
    let mut pair = Pair::new();
    let hour = 3_600_000_000_000;
    // All in one high bucket, which the first turns must break up little by little.
    for slot in 0..5_000 {
        pair.schedule(slot, hour + u64::from(slot));
    }
    for _ in 0..50 {
        pair.turn(hour + 10, 1);
        pair.schedule(5_000, hour + 11);
    }
    assert!(pair.wheel.next_due() <= hour + 10);
    pair.exhaust(hour + 2_500, 2);
    assert_eq!(pair.model.len(), 5_000 - 2_501);
    pair.exhaust(hour + 5_000, 2);
    assert!(pair.wheel.is_empty());
}

#[test]
fn turning_keeps_pace_with_scheduling() {
    let mut wheel = Wheel::new();
    let mut due = Vec::new();
    let (ttl, step) = (50_000_000, 1_000);
    let (mut backlog, mut worst) = (0, 0);
    for count in 0..400_000_u64 {
        let now = count * step;
        wheel.schedule((count % 131_072) as u32, now + ttl);
        due.clear();
        wheel.advance(now, 2, &mut due);
        backlog += u64::from(now >= ttl);
        backlog -= due.len() as u64;
        worst = worst.max(backlog);
    }
    // A bucket of 2^24 ns holds 16 thousand slots here, and is broken up 22 at a time.
    assert!(worst <= 2_000, "{worst} due and not reported");
}

#[test]
fn a_limit_of_zero_and_an_empty_wheel_do_nothing() {
    let mut wheel = Wheel::new();
    assert_eq!(due(&mut wheel, 5, 9), []);
    wheel.schedule(0, 1);
    assert_eq!(due(&mut wheel, 5, 0), []);
    assert_eq!(due(&mut wheel, 5, 1), [0]);
}

#[test]
fn nothing_scheduled_means_nothing_allocated() {
    let mut wheel = Wheel::new();
    wheel.cancel(9);
    wheel.schedule(9, NEVER);
    wheel.replace(8, 9, NEVER);
    wheel.advance(1 << 50, 10, &mut Vec::new());
    assert_eq!(wheel.memory(), 0);
    wheel.schedule(9, 1 << 51);
    assert!(wheel.memory() > 0);
}

#[test]
fn clear_forgets_everything_and_keeps_turning() {
    let mut wheel = Wheel::new();
    for deadline in [50 << 20, 2 << 40] {
        for slot in 0..100 {
            wheel.schedule(slot, deadline + u64::from(slot));
        }
        wheel.advance(50 << 20, 10, &mut Vec::new());
        wheel.clear();
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_due(), NEVER);
    }
    assert_eq!(due(&mut wheel, 1 << 40, 200), []);
    wheel.schedule(4, 2 << 40);
    assert_eq!(due(&mut wheel, 2 << 40, 200), [4]);
}
