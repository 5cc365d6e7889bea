use std::future::Future;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use ahash::RandomState;
use moka::future::Cache;

use super::Family;
use super::Kind;
use crate::workload::Target;
use crate::workload::Value;

/// moka's cache for tasks, which is another type than its cache for threads.
pub struct MokaFuture;

impl Family for MokaFuture {
    const NAME: &'static str = "moka future";
    const KIND: Kind = Kind::Tasks;
    const LOADS_ASYNC: bool = true;

    type Of<V: Value> = Cache<u64, V, RandomState>;

    fn new<V: Value>(capacity: u64) -> Self::Of<V> {
        Cache::builder().max_capacity(capacity).build_with_hasher(RandomState::new())
    }

    fn settle<V: Value>(target: &Self::Of<V>) {
        now(target.run_pending_tasks());
    }
}

/// What a future gives that waits for nobody.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("somebody else is in the way"),
    }
}

impl<V: Value> Target<V> for Cache<u64, V, RandomState> {
    fn get(&self, key: &u64) -> Option<V> {
        now(self.get(key))
    }

    fn insert(&self, key: u64, value: V) {
        now(self.insert(key, value));
    }

    fn remove(&self, key: &u64) {
        now(self.invalidate(key));
    }

    fn entries(&self) -> usize {
        self.entry_count() as usize
    }

    fn get_with_async(&self, key: &u64, load: impl Future<Output = V>) -> impl Future<Output = V> {
        self.get_with(*key, load)
    }
}
