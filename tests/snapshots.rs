//! Promise 8, `get_many_snapshot`: the values of one moment. Sums that transfers keep, things that are always somewhere, steps that come in order;
//! duplicates, absent and expired keys; and it always ends. The same checks catch those who write in single steps where they should not.

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::TimeSource;

use common::Flat;
use common::Rng;
use common::dither;
use common::together;
use common::watched;

fn of_stripes(stripes: usize) -> Cache<u64, u64> {
    Cache::builder().stripes(stripes).build().unwrap()
}

#[test]
fn it_answers_in_the_order_asked_whatever_is_asked_twice_or_missing() {
    watched(|| {
        for stripes in [1, 4] {
            let cache: Cache<String, u64> = Cache::builder().stripes(stripes).build().unwrap();
            let names: Vec<String> = (0..50).map(|number| format!("{number}")).collect();
            names.iter().zip(0..).for_each(|(name, number)| _ = cache.insert(name.clone(), number));
            let none: [&str; 0] = [];
            assert_eq!(cache.get_many_snapshot(none), []);
            assert_eq!(cache.get_many_snapshot(["7"]), [Some(7)]);
            assert_eq!(cache.get_many_snapshot(["x"]), [None]);
            assert_eq!(cache.get_many_snapshot(["3", "1", "3", "3", "2"]), [3, 1, 3, 3, 2].map(Some));
            assert_eq!(cache.get_many_snapshot(["x", "1", "x", "y", "1"]), [None, Some(1), None, None, Some(1)]);
            let (many, right): (Vec<&str>, Vec<Option<u64>>) = (0..5000)
                .map(|at| (at * 7 % 60, format!("{}", at * 7 % 60)))
                .map(|(number, _)| (names.get(number).map_or("absent", String::as_str), (number < 50).then_some(number as u64)))
                .unzip();
            assert_eq!(cache.get_many_snapshot(many.iter().copied()), right);
            assert_eq!(cache.get_many(many), right);
            cache.clear();
            assert!(cache.get_many_snapshot(&names).iter().all(Option::is_none));
        }
    });
}

#[test]
fn what_has_expired_is_absent() {
    watched(|| {
        for stale in [false, true] {
            let (clock, time) = Clock::mock();
            let builder = Cache::<u64, u64>::builder().stripes(2).clock(clock);
            // What may still be served by loads is absent for all others.
            let builder = if stale { builder.serve_stale(Duration::from_secs(1000)) } else { builder };
            let cache = builder.build().unwrap();
            (0..10).for_each(|key| _ = cache.insert_with_ttl(key, key, Duration::from_secs(key)));
            cache.insert(10, 10);
            for second in 0..12 {
                let right: Vec<_> = (0..=11).map(|key| (key == 10 || (key > second && key < 10)).then_some(key)).collect();
                assert_eq!(cache.get_many_snapshot(&(0..=11).collect::<Vec<_>>()), right, "after {second}");
                time.advance(Duration::from_secs(1));
            }
        }
    });
}

/// A clock that jumps beyond every deadline at a chosen look at it.
#[derive(Clone)]
struct Jumps(Arc<AtomicU64>);

impl TimeSource for Jumps {
    fn now(&self) -> Duration {
        let left = self.0.fetch_update(SeqCst, SeqCst, |left| Some(left.saturating_sub(1))).unwrap();
        Duration::from_secs(if left == 0 { 100 } else { 1 })
    }
}

#[test]
fn a_moment_is_one_moment_by_the_clock_too() {
    watched(|| {
        for absent in [false, true] {
            for look in 0..12 {
                let time = Jumps(Arc::new(AtomicU64::new(u64::MAX)));
                let cache = Cache::<u64, u64>::builder().stripes(2).clock(Clock::from_source(time.clone())).build().unwrap();
                (0..6).for_each(|key| _ = cache.insert_with_ttl(key, key, Duration::from_secs(50)));
                time.0.store(look, SeqCst);
                let keys: Vec<u64> = (0..6 + u64::from(absent)).collect();
                let there = cache.get_many_snapshot(&keys).iter().flatten().count();
                assert!(there == 0 || there == 6, "{there} of 6 that have one deadline, which comes at look {look}");
            }
        }
    });
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Writing {
    Transaction,
    OneByOne,
}

/// Threads move money until `enough`; other threads look at all accounts. Gives how often the sum was wrong.
fn bank(stripes: usize, accounts: u64, writing: Writing, enough: impl Fn(u64, usize) -> bool + Sync) -> usize {
    const EACH: u64 = 1000;
    const LOOKS: usize = 20;
    let cache = of_stripes(stripes);
    let all: Vec<u64> = (0..accounts).collect();
    all.iter().for_each(|account| _ = cache.insert(*account, EACH));
    let (wrong, looks, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    together(4, |thread| {
        let mut rng = Rng::new(thread as u64);
        if thread < 2 {
            let mut transfers = 0;
            while !enough(transfers, wrong.load(SeqCst)) || looks.load(SeqCst) < LOOKS {
                transfers += u64::from(transfer(&cache, accounts, writing, &mut rng));
            }
            over.store(true, SeqCst);
        }
        while !over.load(SeqCst) {
            let mut some = all.clone();
            rng.shuffle(&mut some);
            let balances = cache.get_many_snapshot(&some);
            let sum: u64 = balances.into_iter().map(|balance| balance.expect("nothing is ever removed")).sum();
            wrong.fetch_add(usize::from(sum != accounts * EACH), SeqCst);
            looks.fetch_add(1, SeqCst);
        }
    });
    let sum: u64 = all.iter().map(|account| cache.get(account).unwrap()).sum();
    assert!(writing == Writing::OneByOne || sum == accounts * EACH, "money was lost or made: {sum}");
    wrong.load(SeqCst)
}

/// From one account to some others. Says whether it was made.
fn transfer(cache: &Cache<u64, u64>, accounts: u64, writing: Writing, rng: &mut Rng) -> bool {
    let from = rng.below(accounts);
    let to: Vec<u64> = (0..1 + rng.below(3)).map(|_| rng.below(accounts)).collect();
    let amount = 1 + rng.below(9);
    if writing == Writing::OneByOne {
        let add = |account: u64, change: i64| {
            let balance = cache.get(&account).unwrap();
            cache.insert(account, balance.wrapping_add_signed(change));
        };
        add(from, -(amount as i64 * to.len() as i64));
        dither();
        to.iter().for_each(|to| add(*to, amount as i64));
        return true;
    }
    let made = cache.try_transaction(|t| {
        // Out of sight for as long as another commits.
        let left = t.read(&from).ok_or(())?;
        t.insert(from, left.checked_sub(amount * to.len() as u64).ok_or(())?);
        for to in to {
            let balance = t.read(&to).ok_or(())?;
            dither();
            t.insert(to, balance + amount);
        }
        Ok::<_, ()>(())
    });
    made.is_ok()
}

#[test]
fn a_snapshot_of_all_accounts_has_the_sum_that_transfers_keep() {
    watched(|| {
        for (stripes, accounts) in [(1, 8), (8, 8), (16, 100)] {
            let wrong = bank(stripes, accounts, Writing::Transaction, |transfers, _| transfers > 1500);
            assert_eq!(wrong, 0, "{accounts} accounts in {stripes} stripes");
        }
    });
}

#[test]
fn it_would_show_transfers_in_two_steps() {
    watched(|| assert!(bank(8, 20, Writing::OneByOne, |transfers, wrong| transfers > 10 && wrong > 0) > 0));
}

/// A thing moves from slot to slot. Gives how often snapshots showed it nowhere, and how often twice.
fn walk(
    cache: &Cache<u64, u64>,
    writing: Writing,
    between: fn(&Cache<u64, u64>, u64),
    enough: impl Fn(u64, [usize; 2]) -> bool + Sync,
) -> [usize; 2] {
    const SLOTS: u64 = 12;
    let slots: Vec<u64> = (0..SLOTS).collect();
    cache.insert(0, 0);
    let (nowhere, twice, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let seen = || [nowhere.load(SeqCst), twice.load(SeqCst)];
    together(3, |thread| {
        let mut rng = Rng::new(thread as u64 + 3);
        if thread == 0 {
            let (mut steps, mut at) = (0, 0);
            while !enough(steps, seen()) {
                let to = (at + 1 + rng.below(SLOTS - 1)) % SLOTS;
                steps += 1;
                match writing {
                    Writing::Transaction => {
                        let moved = cache.transaction(|t| {
                            t.insert(to, steps);
                            t.remove(&at);
                        });
                        moved.unwrap();
                    }
                    Writing::OneByOne if steps % 2 == 0 => {
                        cache.insert(to, steps);
                        dither();
                        cache.remove(&at);
                    }
                    Writing::OneByOne => {
                        cache.remove(&at);
                        dither();
                        cache.insert(to, steps);
                    }
                }
                at = to;
                between(cache, steps);
            }
            return over.store(true, SeqCst);
        }
        while !over.load(SeqCst) {
            let mut order = slots.clone();
            rng.shuffle(&mut order);
            let there = cache.get_many_snapshot(&order).iter().flatten().count();
            nowhere.fetch_add(usize::from(there == 0), SeqCst);
            twice.fetch_add(usize::from(there > 1), SeqCst);
        }
    });
    seen()
}

#[test]
fn what_moves_is_never_in_two_places_and_never_in_none() {
    watched(|| {
        for stripes in [1, 2, 16] {
            let seen = walk(&of_stripes(stripes), Writing::Transaction, |_, _| (), |steps, _| steps > 3000);
            assert_eq!(seen, [0, 0], "[nowhere, twice] with {stripes} stripes");
        }
    });
}

#[test]
fn what_moves_while_entries_are_evicted_is_never_in_two_places() {
    watched(|| {
        let evict = |cache: &Cache<u64, u64>, step: u64| {
            (0..4).for_each(|other| _ = cache.insert(100 + (step + other) % 20, 0));
            if step.is_multiple_of(50) {
                cache.set_capacity(2);
                cache.set_capacity(6);
            }
        };
        for stripes in [1, 4] {
            let cache: Cache<u64, u64> = Cache::builder().max_capacity(6).stripes(stripes).build().unwrap();
            let [_, twice] = walk(&cache, Writing::Transaction, evict, |steps, _| steps > 1500);
            assert_eq!(twice, 0, "{stripes} stripes");
            assert!(cache.stats().evicted > 0);
        }
    });
}

#[test]
fn it_would_show_a_move_in_two_steps() {
    watched(|| {
        let caught = |steps, [nowhere, twice]: [usize; 2]| steps > 10 && nowhere > 0 && twice > 0;
        let [nowhere, twice] = walk(&of_stripes(4), Writing::OneByOne, |_, _| (), caught);
        assert!(nowhere > 0 && twice > 0);
    });
}

/// One writer goes over the keys in order, with single writes and removals: at any moment the keys up to some place are of this round, the rest of
/// the last.
#[test]
fn single_writes_are_seen_in_their_order() {
    watched(|| {
        const KEYS: u64 = 10;
        for stripes in [1, 8] {
            let cache = of_stripes(stripes);
            // Every third round removes.
            let state = |key: u64, round: u64| (!(round + key / 5).is_multiple_of(3)).then_some(round);
            let apply = |key: u64, round: u64| match state(key, round) {
                Some(value) => _ = cache.insert(key, value),
                None => _ = cache.invalidate(&key),
            };
            let (done, over) = (AtomicU64::new(3), AtomicBool::new(false));
            (0..KEYS).for_each(|key| apply(key, 3));
            together(3, |thread| {
                let mut rng = Rng::new(thread as u64);
                if thread == 0 {
                    for round in 4..1000 {
                        (0..KEYS).for_each(|key| apply(key, round));
                        done.store(round, SeqCst);
                    }
                    return over.store(true, SeqCst);
                }
                let mut last = 0;
                while !over.load(SeqCst) {
                    let mut order: Vec<u64> = (0..KEYS).collect();
                    rng.shuffle(&mut order);
                    let before = done.load(SeqCst);
                    let mut seen: Vec<_> = order.iter().copied().zip(cache.get_many_snapshot(&order)).collect();
                    let after = done.load(SeqCst) + 1;
                    seen.sort_unstable();
                    let is_moment = |round: u64, place: u64| {
                        seen.iter().all(|&(key, value)| value == state(key, if key < place { round + 1 } else { round }))
                    };
                    let moments = (before..=after).flat_map(|round| (0..=KEYS).map(move |place| (round, place)));
                    let moment = moments.filter(|&(round, place)| is_moment(round, place)).max();
                    assert!(moment.is_some(), "{seen:?} was never so, from round {before} to {after}");
                    assert!(moment >= Some((last, 0)), "went back");
                    last = moment.unwrap().0.saturating_sub(1);
                }
            });
        }
    });
}

/// Two writers whose transactions overlap: what they share is of one of them, and what each has for itself fits to it.
#[test]
fn overlapping_transactions_are_seen_one_after_the_other() {
    watched(|| {
        const OWN: u64 = 6;
        let shared: Vec<u64> = (100..106).collect();
        let own = |writer: u64| (writer * OWN..(writer + 1) * OWN).collect::<Vec<_>>();
        let cache = of_stripes(8);
        let write = |writer: u64, number: u64| {
            let written =
                cache.transaction(|t| own(writer).iter().chain(&shared).for_each(|key| t.insert(*key, number * 2 + writer)));
            written.unwrap();
        };
        write(0, 1);
        write(1, 1);
        let running = AtomicUsize::new(2);
        together(4, |thread| {
            if thread < 2 {
                (2..800).for_each(|number| write(thread as u64, number));
                running.fetch_sub(1, SeqCst);
                return;
            }
            while running.load(SeqCst) > 0 {
                let keys = [own(0), own(1), shared.clone()].concat();
                let seen = cache.get_many_snapshot(&keys);
                for part in seen.chunks(OWN as usize) {
                    assert!(part.iter().all(|value| *value == part[0]), "{seen:?}");
                }
                let [zero, one, both] = [0, 6, 12].map(|at| seen[at].expect("nothing is removed"));
                assert!(both == zero || both == one, "{seen:?}");
            }
        });
    });
}

#[test]
fn it_ends_however_fast_others_write() {
    watched(|| {
        for (stripes, absent) in [(1, 0), (8, 0), (8, 3)] {
            let cache: Cache<u64, u64, Flat> = Cache::builder().stripes(stripes).hasher(Flat).build().unwrap();
            (0..20).for_each(|key| _ = cache.insert(key, 0));
            let over = AtomicBool::new(false);
            together(4, |thread| {
                if thread == 0 {
                    let keys: Vec<u64> = (0..20 + absent).collect();
                    for _ in 0..300 {
                        let seen = cache.get_many_snapshot(&keys);
                        assert_eq!(seen.iter().flatten().count(), 20);
                    }
                    return over.store(true, SeqCst);
                }
                let mut rng = Rng::new(thread as u64);
                while !over.load(SeqCst) {
                    cache.insert(rng.below(20), rng.next());
                }
            });
        }
    });
}

#[test]
fn it_counts_one_read_for_each_key() {
    watched(|| {
        let cache = of_stripes(4);
        (0..4).for_each(|key| _ = cache.insert(key, key));
        cache.get_many_snapshot(&[0, 1, 2, 3]);
        assert_eq!((cache.stats().hits, cache.stats().misses), (4, 0));
        cache.get_many_snapshot(&[0, 1, 8, 1, 9]);
        assert_eq!((cache.stats().hits, cache.stats().misses), (7, 2));
    });
}

thread_local! {
    /// Runs at every copy of a value that this thread makes.
    static AT_CLONE: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

/// A value whose copying lets the test come between.
#[derive(PartialEq, Eq, Debug)]
struct Copied(u64);

impl Clone for Copied {
    fn clone(&self) -> Self {
        // Taken out: what it runs may copy values.
        if let Some(mut hook) = AT_CLONE.take() {
            hook();
            AT_CLONE.set(Some(hook));
        }
        Copied(self.0)
    }
}

/// Keys 0 to 2 are there, 3 to 5 are not, and so after each of these, in turns.
type Between = fn(&Cache<u64, Copied>, u64);

const BETWEEN: [(&str, Between); 5] = [
    ("all replaced at once", |cache, n| cache.transaction(|t| (0..3).for_each(|key| t.insert(key, Copied(n)))).unwrap()),
    ("one replaced", |cache, n| _ = cache.insert(n % 3, Copied(n))),
    ("one removed", |cache, n| _ = cache.remove(&(n % 3))),
    ("one more", |cache, n| _ = cache.insert(3 + n % 3, Copied(n))),
    ("all moved", |cache, n| {
        let moved = cache.transaction(|t| {
            for key in 0..3 {
                let (from, to) = if n % 2 == 0 { (key, key + 3) } else { (key + 3, key) };
                t.invalidate(&from);
                t.insert(to, Copied(n));
            }
        });
        moved.unwrap();
    }),
];

fn now_there(cache: &Cache<u64, Copied>, keys: &[u64]) -> Vec<Option<u64>> {
    keys.iter().map(|key| cache.with(key, |value| value.0)).collect()
}

/// Others write just while the snapshot copies its n-th value, or each of its values from the n-th on: what it shows was there at some moment.
#[test]
fn whoever_comes_between_it_shows_one_moment() {
    watched(|| {
        for stripes in [1, 4] {
            for (name, between) in BETWEEN {
                for keys in [[0, 1, 2, 0, 1], [3, 0, 1, 2, 4], [2, 5, 1, 0, 4]] {
                    for (from, to) in (1..8).flat_map(|n| [(n, n), (n, u64::MAX)]) {
                        let case = format!("{name} at copies {from} to {to} of {keys:?}, {stripes} stripes");
                        let cache: Cache<u64, Copied> = Cache::builder().stripes(stripes).build().unwrap();
                        (0..3).for_each(|key| _ = cache.insert(key, Copied(100)));
                        let moments = Rc::new(RefCell::new(vec![now_there(&cache, &keys)]));
                        let (hooked, seen, mut copies) = (cache.clone(), Rc::clone(&moments), 0);
                        AT_CLONE.set(Some(Box::new(move || {
                            copies += 1;
                            if (from..=to).contains(&copies) {
                                between(&hooked, copies);
                                seen.borrow_mut().push(now_there(&hooked, &keys));
                            }
                        })));
                        let shown = cache.get_many_snapshot(&keys);
                        AT_CLONE.set(None);
                        let shown: Vec<_> = shown.into_iter().map(|value| value.map(|value| value.0)).collect();
                        assert!(moments.borrow().contains(&shown), "{shown:?} was never so, but {moments:?}: {case}");
                    }
                }
            }
        }
    });
}

/// Writes to the cache whenever it is cloned: to the keys of the snapshot.
struct Busy(Arc<OnceLock<Cache<u64, Busy>>>, u64);

impl Clone for Busy {
    fn clone(&self) -> Self {
        if let Some(cache) = self.0.get() {
            cache.insert(self.1, Busy(Arc::clone(&self.0), self.1));
            let all = cache.transaction(|t| t.insert(self.1 + 1, Busy(Arc::clone(&self.0), self.1 + 1)));
            assert!(all.is_ok());
            cache.reclaim();
        }
        Busy(Arc::clone(&self.0), self.1)
    }
}

#[test]
fn values_are_cloned_under_no_lock() {
    watched(|| {
        let cell = Arc::default();
        let cache: Cache<u64, Busy> = Cache::builder().stripes(1).build().unwrap();
        (0..5).for_each(|key| _ = cache.insert(key, Busy(Arc::clone(&cell), key)));
        assert!(cell.set(cache.clone()).is_ok());
        for keys in [vec![0, 1, 2, 3], vec![0, 77, 1, 2, 2, 78], vec![4; 50]] {
            let seen = cache.get_many_snapshot(&keys);
            let right: Vec<_> = keys.iter().map(|key| (*key < 10).then_some(*key)).collect();
            assert_eq!(seen.iter().map(|value| value.as_ref().map(|value| value.1)).collect::<Vec<_>>(), right);
        }
        // The cache is in its own values.
        cache.clear();
        cache.reclaim();
    });
}
