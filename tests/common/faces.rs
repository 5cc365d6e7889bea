//! Every load face in one table, so that tests run over all of them, and over all pairs. Each face that can fail has an error type of its own.
#![allow(dead_code, unreachable_pub)]

use std::hash::Hash;

use brindle::Cache;
use brindle::Leased;
use brindle::LoadError;
use brindle::Loaded;

use crate::common::executor::Boxed;
use crate::common::executor::block_on;

/// What a call that could not give a value says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The error of a load, with its code: of the face's own type.
    Failed(u64),
    /// An error of another face's type.
    Elsewhere,
    Reentrant,
    TimedOut,
}

pub type Answer<V> = Result<V, Trouble>;

/// A loader for any face: a value, or the code of an error.
pub type Loader<V> = Box<dyn FnOnce() -> Result<V, u64> + Send>;

/// The same as a future.
pub type Loading<V> = Boxed<'static, Result<V, u64>>;

type SyncCall<K, V> = fn(&Cache<K, V>, &K, Loader<V>) -> Answer<V>;
type AsyncCall<K, V> = fn(Cache<K, V>, K, Loading<V>) -> Boxed<'static, Answer<V>>;

pub enum Run<K, V> {
    Sync(SyncCall<K, V>),
    Async(AsyncCall<K, V>),
}

pub struct Face<K, V> {
    pub name: &'static str,
    pub run: Run<K, V>,
    /// Loads although the key is resident.
    pub reloads: bool,
    /// Its own load may fail.
    pub can_fail: bool,
    /// Gets the error of the load that it waits for. Where not, it loads for itself.
    pub shares_errors: bool,
}

/// The error type of face number `N`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Oops<const N: usize>(pub u64);

/// An error that cannot even be cloned.
struct Local(u64);

fn answer<V, E>(result: Result<V, LoadError<E>>, code: impl FnOnce(E) -> u64) -> Answer<V> {
    result.map_err(|error| match error {
        LoadError::Failed(error) => Trouble::Failed(code(error)),
        LoadError::Elsewhere(_) => Trouble::Elsewhere,
        LoadError::Reentrant => Trouble::Reentrant,
        _ => panic!("an error that nobody knows"),
    })
}

fn sure<V>(loaded: Result<V, u64>) -> V {
    loaded.expect("this face cannot fail")
}

fn lease<K: Key, V: Value>(leased: Leased<K, V>, load: impl FnOnce() -> Result<V, u64>) -> Answer<V> {
    match leased {
        Leased::Value(value) => Ok(value),
        Leased::Lease(lease) => match load() {
            Ok(value) => Ok(lease.fill(value.clone()).map_or_else(|unfilled| unfilled.value, |_| value)),
            Err(code) => {
                lease.fail(Oops::<90>(code));
                Err(Trouble::Failed(code))
            }
        },
        Leased::TimedOut => Err(Trouble::TimedOut),
        Leased::Reentrant => Err(Trouble::Reentrant),
        _ => panic!("an answer that nobody knows"),
    }
}

const ONCE: &str = "of one key there is one load";

/// The only value of a call for many keys that was made for one.
fn the_one<V>(mut values: Vec<Option<V>>) -> V {
    let value = values.pop().flatten().expect("the loader brought it");
    assert!(values.is_empty());
    value
}

pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {}
impl<K: Hash + Eq + Clone + Send + Sync + 'static> Key for K {}

pub trait Value: Clone + Send + Sync + 'static {}
impl<V: Clone + Send + Sync + 'static> Value for V {}

impl<K: Key, V: Value> Face<K, V> {
    const fn new(name: &'static str, run: Run<K, V>) -> Self {
        Face { name, run, reloads: false, can_fail: true, shares_errors: true }
    }

    const fn reloading(self) -> Self {
        Face { reloads: true, ..self }
    }

    const fn sure(self) -> Self {
        Face { can_fail: false, shares_errors: false, ..self }
    }

    pub fn is_async(&self) -> bool {
        matches!(self.run, Run::Async(_))
    }

    /// Makes the call on this thread, whatever the face.
    pub fn call(&self, cache: &Cache<K, V>, key: &K, load: impl FnOnce() -> Result<V, u64> + Send + 'static) -> Answer<V> {
        match self.run {
            Run::Sync(run) => run(cache, key, Box::new(load)),
            Run::Async(run) => block_on(run(cache.clone(), key.clone(), Box::pin(async move { load() }))),
        }
    }

    /// The call as a future, which begins at its first poll. For async faces alone.
    pub fn start(
        &self,
        cache: &Cache<K, V>,
        key: &K,
        load: impl Future<Output = Result<V, u64>> + Send + 'static,
    ) -> Boxed<'static, Answer<V>> {
        let Run::Async(run) = self.run else { panic!("{} gives no future", self.name) };
        run(cache.clone(), key.clone(), Box::pin(load))
    }
}

pub fn sync_faces<K: Key, V: Value>() -> Vec<Face<K, V>> {
    let face = |name, run: SyncCall<K, V>| Face::new(name, Run::Sync(run));
    vec![
        face("get_with", |cache, key, load| Ok(cache.get_with(key, || sure(load())))).sure(),
        face("try_get_with", |cache, key, load| answer(cache.try_get_with(key, || load().map_err(Oops::<1>)), |oops| oops.0)),
        face("try_get_with_local", |cache, key, load| {
            answer(cache.try_get_with_local(key, || load().map_err(Local)), |local| local.0)
        }),
        face("load", |cache, key, load| answer(cache.load(key, || load().map(Loaded::new).map_err(Oops::<2>)), |oops| oops.0)),
        face("refresh", |cache, key, load| Ok(cache.refresh(key, || sure(load())))).sure().reloading(),
        face("try_refresh", |cache, key, load| answer(cache.try_refresh(key, || load().map_err(Oops::<3>)), |oops| oops.0))
            .reloading(),
        face("reload", |cache, key, load| {
            answer(cache.reload(key, || load().map(Loaded::new).map_err(Oops::<4>)), |oops| oops.0)
        })
        .reloading(),
        Face { shares_errors: false, ..face("get_or_lease", |cache, key, load| lease(cache.get_or_lease(key, None), load)) },
        face("try_get_many_with", |cache, key, load| {
            let mut load = Some(load);
            let loaded = cache.try_get_many_with([key], |keys| {
                let value = load.take().expect(ONCE)().map_err(Oops::<5>)?;
                Ok(keys.into_iter().map(move |key| (key, value.clone())))
            });
            answer(loaded.map(the_one), |oops: Oops<5>| oops.0)
        }),
    ]
}

pub fn async_faces<K: Key, V: Value>() -> Vec<Face<K, V>> {
    let face = |name, run: AsyncCall<K, V>| Face::new(name, Run::Async(run));
    vec![
        face("get_with_async", |cache, key, load| {
            Box::pin(async move { Ok(cache.get_with_async(&key, async { sure(load.await) }).await) })
        })
        .sure(),
        face("try_get_with_async", |cache, key, load| {
            Box::pin(async move {
                let loading = async { load.await.map_err(Oops::<11>) };
                answer(cache.try_get_with_async(&key, loading).await, |oops| oops.0)
            })
        }),
        face("load_async", |cache, key, load| {
            Box::pin(async move {
                let loading = async { load.await.map(Loaded::new).map_err(Oops::<12>) };
                answer(cache.load_async(&key, loading).await, |oops| oops.0)
            })
        }),
        face("refresh_async", |cache, key, load| {
            Box::pin(async move { Ok(cache.refresh_async(&key, async { sure(load.await) }).await) })
        })
        .sure()
        .reloading(),
        face("try_refresh_async", |cache, key, load| {
            Box::pin(async move {
                let loading = async { load.await.map_err(Oops::<13>) };
                answer(cache.try_refresh_async(&key, loading).await, |oops| oops.0)
            })
        })
        .reloading(),
        face("reload_async", |cache, key, load| {
            Box::pin(async move {
                let loading = async { load.await.map(Loaded::new).map_err(Oops::<14>) };
                answer(cache.reload_async(&key, loading).await, |oops| oops.0)
            })
        })
        .reloading(),
        face("try_get_many_with_async", |cache, key, load| {
            Box::pin(async move {
                let mut load = Some(load);
                let loaded = cache.try_get_many_with_async([&key], |keys| {
                    let load = load.take().expect(ONCE);
                    async {
                        let value = load.await.map_err(Oops::<15>)?;
                        Ok(keys.into_iter().map(move |key| (key, value.clone())))
                    }
                });
                answer(loaded.await.map(the_one), |oops: Oops<15>| oops.0)
            })
        }),
        Face {
            shares_errors: false,
            ..face("get_or_lease_async", |cache, key, load| {
                Box::pin(async move {
                    match cache.get_or_lease_async(&key).await {
                        // The lease is held over the load's await points.
                        Leased::Lease(held) => {
                            let loaded = load.await;
                            lease(Leased::Lease(held), || loaded)
                        }
                        other => lease(other, || unreachable!()),
                    }
                })
            })
        },
    ]
}

/// Sync and async.
pub fn faces<K: Key, V: Value>() -> Vec<Face<K, V>> {
    let mut all = sync_faces();
    all.extend(async_faces());
    all
}
