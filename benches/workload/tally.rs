//! What reads found, and the checks of what they gave.

use std::cell::Cell;
use std::future::Future;
use std::iter::Sum;
use std::ops::Add;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;

use super::Key;
use super::Target;
use super::Value;

#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub reads: u64,
    pub hits: u64,
    /// Writes on condition.
    pub writes: u64,
    /// Those that found their condition met.
    pub accepted: u64,
}

thread_local! {
    /// Loads by tasks on this thread. A future that a target may keep cannot count in a tally that is borrowed.
    static LOADED: Cell<u64> = const { Cell::new(0) };
}

impl Tally {
    #[inline(always)]
    pub(super) fn read<V: Value>(&mut self, key: &impl Key, value: Option<V>) -> bool {
        self.looked(value.map(|value| value.belongs_to(key.token())))
    }

    /// Counts a read: whether the value was the key's own, if there was one.
    #[inline(always)]
    pub(super) fn looked(&mut self, own: Option<bool>) -> bool {
        assert_ne!(own, Some(false), "a read was answered with another key's value");
        self.reads += 1;
        self.hits += u64::from(own.is_some());
        own.is_some()
    }

    #[inline(always)]
    pub(super) fn wrote(&mut self, accepted: bool) {
        self.writes += 1;
        self.accepted += u64::from(accepted);
    }

    /// Reads with a loader, and counts.
    #[inline(always)]
    pub(super) fn load<K: Key, V: Value>(&mut self, target: &impl Target<K, V>, key: &K, load: impl FnOnce(u64) -> V) {
        let token = key.token();
        let mut loaded = false;
        let value = target.get_with(key, || {
            loaded = true;
            load(token)
        });
        self.looked(Some(value.belongs_to(token)));
        self.hits -= u64::from(loaded);
    }

    /// The same in a task, which is polled once: nobody else loads. The loads are left to [`Self::take_loads`].
    #[inline(always)]
    pub(super) fn load_async<K: Key, V: Value>(&mut self, target: &impl Target<K, V>, key: &K, context: &mut Context<'_>) {
        let token = key.token();
        let load = async move {
            LOADED.set(LOADED.get() + 1);
            V::of(token)
        };
        let Poll::Ready(value) = pin!(target.get_with_async(key, load)).poll(context) else {
            panic!("a load that waits for nothing was not ready")
        };
        self.looked(Some(value.belongs_to(token)));
    }

    /// Counts as misses what tasks on this thread have loaded.
    pub(super) fn take_loads(&mut self) {
        self.hits -= LOADED.take();
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            hits: self.hits + other.hits,
            writes: self.writes + other.writes,
            accepted: self.accepted + other.accepted,
        }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}
