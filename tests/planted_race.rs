//! A data race that the thread sanitizer must find, or its silence about the other tests says nothing. Hits take no lock and order nothing among
//! each other: so two readers who change a value in place, which its type wrongly allows, race. `CONTRIBUTING.md` has the command.

use std::cell::UnsafeCell;
use std::thread;

use brindle::Cache;

/// Says that it may be shared, and may not.
struct Unguarded(UnsafeCell<u64>);

// SAFETY: there is none, and that is what is to be found.
unsafe impl Sync for Unguarded {}

const ROUNDS: usize = 10_000;

#[test]
#[ignore = "a data race on purpose: to be run under the thread sanitizer, which must end it"]
fn values_changed_by_readers_race() {
    let cache = Cache::new(10);
    cache.insert(1, Unguarded(UnsafeCell::new(0)));
    let count_up = || {
        for _ in 0..ROUNDS {
            // SAFETY: as above.
            cache.with(&1, |value| unsafe { *value.0.get() += 1 });
        }
    };
    thread::scope(|scope| {
        scope.spawn(count_up);
        scope.spawn(count_up);
    });
}
