//! The value: whoever reads one can tell whether it is what it must be, and all of them are counted.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::common::random::mix;

/// Which keys are used in which way; see [`District::of`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum District {
    /// Who changes the source of such a key changes the cache before anybody else changes the source again.
    Plain,
    /// Changes reach the cache with their version, in any order, late and more than once.
    Versioned,
    /// Written through the cache.
    Through,
    /// Three of them belong together, and are written by transactions alone. The cache is their source.
    Account,
    /// Each value counts on from the one that it replaces. The cache is their source.
    Counter,
    /// Written behind the cache.
    #[cfg(feature = "write-behind")]
    Behind,
}

pub(crate) const DISTRICTS: u64 = 6;
/// Accounts that belong together.
pub(crate) const SIBLINGS: u64 = 3;
/// What the amounts of such accounts add up to.
pub(crate) const TOTAL: i64 = 1000;
const GROUPS: u64 = 16;
/// What most rows weigh, more or less.
pub(crate) const MEAN_WEIGHT: u64 = 4;

impl District {
    pub(crate) fn of(key: u64) -> Self {
        match key % DISTRICTS {
            1 => Self::Versioned,
            2 => Self::Through,
            3 => Self::Account,
            4 => Self::Counter,
            #[cfg(feature = "write-behind")]
            5 => Self::Behind,
            _ => Self::Plain,
        }
    }

    /// Does the source have such keys, so that they can be loaded?
    pub(crate) fn is_loaded(self) -> bool {
        matches!(self, Self::Plain | Self::Versioned | Self::Through)
    }
}

/// The first of the accounts that belong together.
pub(crate) fn eldest(account: u64) -> u64 {
    let number = account / DISTRICTS;
    account - number % SIBLINGS * DISTRICTS
}

/// The accounts that belong together with this one.
pub(crate) fn siblings(account: u64) -> [u64; SIBLINGS as usize] {
    std::array::from_fn(|number| eldest(account) + number as u64 * DISTRICTS)
}

/// The group that a key's values are in.
pub(crate) fn group(key: u64) -> u64 {
    key / DISTRICTS % GROUPS
}

const ALIVE: u64 = 0x6272_696e_646c_6521;
const DROPPED: u64 = !ALIVE;

static BORN: AtomicU64 = AtomicU64::new(0);
static DIED: AtomicU64 = AtomicU64::new(0);
/// Values that were dropped or cloned when they had been dropped already.
static USED_AFTER_DROP: AtomicU64 = AtomicU64::new(0);

/// Values that live now.
pub(crate) fn alive() -> u64 {
    // The deaths first: who is born in between counts as alive.
    let died = DIED.load(Ordering::SeqCst);
    BORN.load(Ordering::SeqCst) - died
}

pub(crate) fn used_after_drop() -> u64 {
    USED_AFTER_DROP.load(Ordering::Relaxed)
}

/// The state of a key under one stamp.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) key: u64,
    /// Of all states of the key the newest has the greatest; no two states of any keys have the same, but for accounts that are written together.
    pub(crate) stamp: u64,
    pub(crate) amount: i64,
    /// On the heap, made of all the others.
    words: Box<[u64]>,
    life: Life,
}

#[derive(Debug)]
struct Life(AtomicU64);

impl Row {
    pub(crate) fn new(key: u64, stamp: u64, amount: i64) -> Self {
        Self { key, stamp, amount, words: words(key, stamp, amount), life: Life::begin() }
    }

    /// What is wrong with it, found under `key`.
    pub(crate) fn fault(&self, key: u64) -> Option<&'static str> {
        if self.life.0.load(Ordering::Relaxed) != ALIVE {
            return Some("a value that was dropped");
        }
        if self.key != key {
            return Some("the value of another key");
        }
        (self.words != words(key, self.stamp, self.amount)).then_some("a value with damaged contents")
    }

    /// Mostly a little, at times nothing, and seldom more than any cache may hold.
    pub(crate) fn weight(&self) -> u64 {
        match mix(self.stamp) % 512 {
            0 => 1 << 40,
            drawn if drawn < 16 => 0,
            drawn => 1 + drawn % 8,
        }
    }
}

fn words(key: u64, stamp: u64, amount: i64) -> Box<[u64]> {
    let seed = mix(mix(key) ^ stamp) ^ amount.cast_unsigned();
    (0..1 + seed % 16).map(|at| mix(seed ^ at)).collect()
}

impl Life {
    fn begin() -> Self {
        BORN.fetch_add(1, Ordering::SeqCst);
        Self(AtomicU64::new(ALIVE))
    }
}

impl Clone for Life {
    fn clone(&self) -> Self {
        if self.0.load(Ordering::Relaxed) != ALIVE {
            USED_AFTER_DROP.fetch_add(1, Ordering::Relaxed);
        }
        Self::begin()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.0.swap(DROPPED, Ordering::Relaxed) != ALIVE {
            USED_AFTER_DROP.fetch_add(1, Ordering::Relaxed);
        }
        DIED.fetch_add(1, Ordering::SeqCst);
    }
}
