//! The timed loops. Every value that comes back is checked.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::task::Waker;

use super::Key;
use super::Tally;
use super::Target;
use super::Value;
use super::shuffled;
use super::stampede;

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// `get`.
    Get,
    /// The value is looked at where it lies.
    With,
    /// `insert`.
    Insert,
    /// `get`, and `insert` after a miss.
    ReadThrough,
    /// `get`, or `insert` if the key is marked as one [to write](super::WRITE).
    ReadWrite,
    /// `remove`, then `insert`.
    Churn,
    /// `get_with`, with a loader that takes no time.
    GetWith,
    /// The same in a task.
    GetWithAsync,
    /// `insert_at`, each with a version of its own. With several threads at once, those of one are older than those of another.
    InsertAt,
    /// The entry is read, then replaced with `compare_and_swap`.
    Swap,
    /// `invalidate` if the key is marked, else `get_with`, with a loader that takes no time.
    Invalidate,
    /// All threads ask for one key at once, with a loader that takes its time: [`stampede()`].
    Stampede,
}

/// The next version that nobody has used yet; a batch takes all of its own at once.
static VERSIONS: AtomicU64 = AtomicU64::new(1);

/// Puts the keys `0..n` in.
pub fn fill<K: Key, V: Value>(target: &impl Target<K, V>, n: u64) {
    for number in shuffled(n) {
        insert(target, K::of(number));
    }
}

/// Those that every type of entries is measured with.
pub fn play_simple<K: Key, V: Value>(target: &impl Target<K, V>, mix: Mix, keys: &[K]) -> Tally {
    let mut tally = Tally::default();
    match mix {
        Mix::Get => {
            for key in keys {
                tally.read(key, target.get(key));
            }
        }
        Mix::With => {
            for key in keys {
                tally.looked(target.with(key, |value| value.belongs_to(key.token())));
            }
        }
        Mix::Insert => {
            for key in keys {
                insert(target, key.clone());
            }
        }
        Mix::ReadThrough => {
            for key in keys {
                if !tally.read(key, target.get(key)) {
                    insert(target, key.clone());
                }
            }
        }
        _ => unreachable!("{mix:?} is measured with numbers alone"),
    }
    tally
}

pub fn play<K: Key, V: Value>(target: &impl Target<K, V>, mix: Mix, keys: &[K]) -> Tally {
    let mut tally = Tally::default();
    match mix {
        Mix::Get | Mix::With | Mix::Insert | Mix::ReadThrough => return play_simple(target, mix, keys),
        Mix::ReadWrite => {
            for key in keys {
                match key.to_write() {
                    Some(key) => insert(target, key),
                    None => _ = tally.read(key, target.get(key)),
                }
            }
        }
        Mix::Churn => {
            for key in keys {
                target.remove(key);
                insert(target, key.clone());
            }
        }
        Mix::GetWith => {
            for key in keys {
                tally.load(target, key, V::of);
            }
        }
        Mix::GetWithAsync => {
            let mut context = Context::from_waker(Waker::noop());
            for key in keys {
                tally.load_async(target, key, &mut context);
            }
            tally.take_loads();
        }
        Mix::InsertAt => {
            let first = VERSIONS.fetch_add(keys.len() as u64, Relaxed);
            for (key, version) in keys.iter().zip(first..) {
                tally.wrote(target.insert_at(key.clone(), V::of(key.token()), version));
            }
        }
        Mix::Swap => {
            for key in keys {
                let change = |old: V| {
                    assert!(old.belongs_to(key.token()), "another key's value was to be replaced");
                    V::of(key.token())
                };
                tally.wrote(target.swap(key.clone(), change));
            }
        }
        Mix::Invalidate => {
            for key in keys {
                match key.to_write() {
                    Some(key) => target.remove(&key),
                    None => tally.load(target, key, V::of),
                }
            }
        }
        Mix::Stampede => {
            for key in keys {
                tally.load(target, key, stampede::slow);
            }
        }
    }
    tally
}

#[inline(always)]
fn insert<K: Key, V: Value>(target: &impl Target<K, V>, key: K) {
    let value = V::of(key.token());
    target.insert(key, value);
}
