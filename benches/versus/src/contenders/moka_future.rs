use std::future::Future;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use ahash::RandomState;
use moka::future::Cache;

use super::Family;
use super::Kind;
use super::Weigh;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;

/// moka's cache for tasks, which is another type than its cache for threads.
pub struct MokaFuture;

impl Family for MokaFuture {
    const NAME: &'static str = "moka future";
    const KIND: Kind = Kind::Tasks;
    const LOADS_ASYNC: bool = true;

    type Of<K: Key, V: Value> = Cache<K, V, RandomState>;
    type Weighing<K: Key, V: Weigh> = Cache<K, V, RandomState>;

    fn new<K: Key, V: Value>(capacity: u64) -> Self::Of<K, V> {
        Cache::builder().max_capacity(capacity).build_with_hasher(RandomState::new())
    }

    fn settle<K: Key, V: Value>(target: &Self::Of<K, V>) {
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

impl<K: Key, V: Value> Target<K, V> for Cache<K, V, RandomState> {
    fn get(&self, key: &K) -> Option<V> {
        now(self.get(key))
    }

    fn insert(&self, key: K, value: V) {
        now(self.insert(key, value));
    }

    fn remove(&self, key: &K) {
        now(self.invalidate(key));
    }

    fn get_with_async(&self, key: &K, load: impl Future<Output = V> + Send + 'static) -> impl Future<Output = V> {
        self.get_with_by_ref(key, load)
    }
}
