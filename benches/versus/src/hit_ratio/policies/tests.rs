//! The simulators against traces worked out by hand, and against slow ways to the same figures.

use super::*;

const A: u64 = 1;
const B: u64 = 2;
const C: u64 = 3;
const D: u64 = 4;
const E: u64 = 5;

/// Which requests are answered, as a line of `.` and `!`. Not of the optimum, which knows what comes: for the others, the answers to a
/// part of the requests are the first answers to all.
fn answers(policy: &str, keys: &[u64], capacity: u64) -> String {
    let hits = |len| hits(policy, &Trace::new("t", keys[..len].iter().copied()), capacity);
    (1..=keys.len()).map(|len| if hits(len) > hits(len - 1) { '!' } else { '.' }).collect()
}

const OPTIMUM: &str = "optimum (Belady)";

fn hits(policy: &str, trace: &Trace, capacity: u64) -> u64 {
    let simulated = ALL.iter().find(|simulated| simulated.name == policy).expect("a policy's name");
    (simulated.play)(trace, capacity).hits
}

/// A small trace, and another for each seed.
fn random(seed: u64, len: usize, keys: u64) -> Vec<u64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % keys
    };
    // The lesser of two, so that some are hotter.
    (0..len).map(|_| next().min(next())).collect()
}

#[test]
fn lru_by_hand() {
    assert_eq!(answers(LRU, &[A, B, A, C, A, B, C], 2), "..!.!..");
}

#[test]
fn fifo_by_hand() {
    // The hit on A does not save it from C.
    assert_eq!(answers("FIFO", &[A, B, A, C, A, B, C], 2), "..!....");
    assert_eq!(answers("FIFO", &[A, B, A, C, B, C, A], 2), "..!.!!.");
}

#[test]
fn sieve_by_hand() {
    // D: the hand spares A, takes B, stops before C. E: C goes, though A is older; then the hand comes to D. B: D goes.
    assert_eq!(answers("SIEVE", &[A, B, C, A, D, E, A, B, A, D], 3), "...!..!.!.");
}

#[test]
fn s3_fifo_by_hand() {
    // One place in small, one in main. A was asked for twice again: C moves it to main, and sends B to the ghosts. B comes back, out
    // of the ghosts into main, and C has to go.
    assert_eq!(answers("S3-FIFO", &[A, A, A, B, A], 2), ".!!.!");
    assert_eq!(answers("S3-FIFO", &[A, A, A, B, C, A, B, B], 2), ".!!..!.!");
    // Asked for once again is not enough.
    assert_eq!(answers("S3-FIFO", &[A, A, B, C, A], 2), ".!...");
}

#[test]
fn arc_by_hand() {
    // A and B get into T2 and outlive the scan of C, D and E.
    assert_eq!(answers("ARC", &[A, B, A, B, C, D, E, A, B], 3), "..!!...!!");
    // D sends B to B1; B, back at once, goes to T2, and T1 may be one long: D stays, A goes.
    assert_eq!(answers("ARC", &[A, A, B, D, B, D, A], 2), ".!...!.");
}

#[test]
fn lirs_by_hand() {
    // A and B are LIR, and C, D and E pass through one place.
    assert_eq!(answers("LIRS", &[A, B, C, D, E, A, B, E, D], 3), ".....!!!.");
    // C comes back to that place while the stack remembers it: LIR, and A, the oldest, HIR. D takes A's place.
    assert_eq!(answers("LIRS", &[A, B, C, C, B, D, C, B, A], 3), "...!!.!!.");
}

#[test]
fn w_tiny_lfu_by_hand() {
    // One place in the window, two beyond. D never comes often enough to displace A or B, which were asked for twice.
    assert_eq!(answers("W-TinyLFU", &[A, B, A, B, C, D, E, A, B, E], 3), "..!!...!!!");
}

#[test]
fn gdsf_by_hand() {
    // Of the weights 1 and 4, the heavier goes though it is the newer; asked for five times, it stays and the lighter goes.
    let pairs = |keys: &[u64]| Trace::sized("t", keys.iter().map(|&key| (key, if key == B { 4 } else { 1 })).collect::<Vec<_>>());
    assert_eq!(hits("GDSF", &pairs(&[A, B, C, A, C, B]), 5), 2);
    assert_eq!(hits("GDSF", &pairs(&[A, B, B, B, B, B, C, B]), 5), 5);
}

#[test]
fn lru_is_its_stack_distances() {
    for seed in 0..20 {
        let keys = random(seed, 200, 30);
        let mut stack: Vec<u64> = Vec::new();
        let mut distances = Vec::new();
        for &key in &keys {
            if let Some(depth) = stack.iter().rev().position(|&other| other == key) {
                distances.push(depth as u64);
                stack.retain(|&other| other != key);
            }
            stack.push(key);
        }
        for capacity in 1..30 {
            let expected = distances.iter().filter(|&&distance| distance < capacity).count() as u64;
            assert_eq!(hits(LRU, &Trace::new("t", keys.clone()), capacity), expected, "seed {seed}, capacity {capacity}");
        }
    }
}

/// The most hits from here on, by trying all.
fn best(keys: &[u64], cached: &[u64], capacity: usize) -> u64 {
    let Some((key, rest)) = keys.split_first() else { return 0 };
    if cached.contains(key) {
        return 1 + best(rest, cached, capacity);
    }
    let with = |kept: &[u64]| best(rest, &[kept, &[*key]].concat(), capacity);
    let mut most = best(rest, cached, capacity);
    if cached.len() < capacity {
        return most.max(with(cached));
    }
    for out in 0..cached.len() {
        most = most.max(with(&[&cached[..out], &cached[out + 1..]].concat()));
    }
    most
}

#[test]
fn nobody_is_better_than_the_optimum_which_is_found_by_trying_all_too() {
    for seed in 0..60 {
        let keys = random(seed, 12, 6);
        let trace = Trace::new("t", keys.clone());
        for capacity in 1..4 {
            let optimum = best(&keys, &[], capacity);
            assert_eq!(hits(OPTIMUM, &trace, capacity as u64), optimum, "seed {seed}, capacity {capacity}");
            for other in ALL.iter().filter(|other| other.takes(&trace)) {
                assert!((other.play)(&trace, capacity as u64).hits <= optimum, "{}, seed {seed}", other.name);
            }
        }
    }
}

#[test]
fn nobody_is_better_than_the_bound_with_sizes() {
    for seed in 0..50 {
        let trace = Trace::sized("t", random(seed, 300, 40).into_iter().map(|key| (key, 1 + key * key % 23)));
        for capacity in [1, 7, 30, 100, 1000] {
            let bound = pfoo::bound(&trace, capacity).hits;
            for other in ALL.iter().filter(|other| other.takes(&trace)) {
                assert!((other.play)(&trace, capacity).hits <= bound, "{}, seed {seed}, capacity {capacity}", other.name);
            }
        }
    }
}

#[test]
fn who_has_room_for_all_misses_each_key_once() {
    let keys = random(1, 500, 50);
    let trace = Trace::new("t", keys);
    for policy in ALL.iter().filter(|policy| policy.takes(&trace)) {
        let hits = (policy.play)(&trace, 5_000).hits;
        assert_eq!(hits, (trace.requests.len() - trace.keys.len()) as u64, "{}", policy.name);
    }
}

#[test]
fn what_is_too_heavy_is_refused_and_harms_nobody() {
    let trace = Trace::sized("t", [(A, 1), (B, 99), (A, 1), (B, 99), (A, 1)]);
    for policy in ALL.iter().filter(|policy| policy.takes(&trace) && !policy.name.starts_with("W-")) {
        assert_eq!((policy.play)(&trace, 10).hits, 2, "{}", policy.name);
    }
}

#[test]
fn a_loop_is_lost_on_recency_and_not_on_those_that_keep() {
    let trace = Trace::new("t", (0..1_000).cycle().take(50_000));
    assert_eq!(hits(LRU, &trace, 500), 0);
    assert!(hits("LIRS", &trace, 500) > 23_000);
    assert!(hits("W-TinyLFU", &trace, 500) > 20_000);
    // Of each round all but one of the places hits.
    assert_eq!(hits(OPTIMUM, &trace, 500), 49 * 500);
}
