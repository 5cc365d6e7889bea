//! Writes through the cache: one at a time, nobody is forgotten in the line, and the cache never has what the source has not.

use std::future::pending;
use std::sync::Arc;

use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering;
use loom::thread::JoinHandle;

use crate::loaded::Loaded;

use super::tasks::pends;
use super::trial::Numbers;
use super::trial::beside;
use super::trial::cache;
use super::trial::explore;
use super::trial::spawn;

type Source = Arc<AtomicU64>;

fn write(cache: &Numbers, source: &Source, value: u64) {
    let written = cache.write_through(1, |_| {
        source.store(value, Ordering::Release);
        Ok::<_, ()>(Loaded::new(value))
    });
    assert!(written.is_ok());
}

/// Another thread, which writes 11.
fn write_elsewhere(cache: &Numbers, source: &Source) -> JoinHandle<()> {
    let source = Arc::clone(source);
    beside(cache, move |cache| write(cache, &source, 11))
}

fn source() -> Source {
    Arc::new(AtomicU64::new(10))
}

/// What the cache has, if anything, is what the source has.
fn agree(cache: &Numbers, source: &Source) {
    assert!(cache.get(&1).is_none_or(|value| value == source.load(Ordering::Acquire)));
}

#[test]
fn two_write_through() {
    explore(|| {
        let (cache, source) = (cache(4), source());
        let other = write_elsewhere(&cache, &source);
        write(&cache, &source, 12);
        other.join().unwrap();
        assert_eq!(cache.get(&1), Some(source.load(Ordering::Acquire)));
    });
}

#[test]
fn a_load_while_the_source_is_written() {
    explore(|| {
        let (cache, source) = (cache(4), source());
        let loaded = Arc::clone(&source);
        let loader = beside(&cache, move |cache| cache.get_with(&1, || loaded.load(Ordering::Acquire)));
        write(&cache, &source, 11);
        assert_ne!(cache.get(&1), Some(10));
        assert!(matches!(loader.join().unwrap(), 10 | 11));
        agree(&cache, &source);
    });
}

#[test]
fn another_write_during_a_turn() {
    explore(|| {
        let (cache, source) = (cache(4), source());
        let other = write_elsewhere(&cache, &source);
        // It knows better than the cache, which came first.
        source.store(12, Ordering::Release);
        cache.invalidate(&1);
        other.join().unwrap();
        agree(&cache, &source);
    });
}

/// Stands in line to write key 1, and hangs while it writes.
async fn hang(cache: Numbers) {
    let written = cache.write_through_async(1, |_| pending::<Result<Loaded<u64>, ()>>()).await;
    unreachable!("nothing comes of it: {written:?}");
}

/// A task that stands in line is dropped just as the turn comes to it: another stands behind it.
#[test]
fn a_task_leaves_the_line_as_it_is_called() {
    explore(|| {
        let (cache, source) = (cache(4), source());
        let [mut first, mut second] = [(); 2].map(|()| Box::pin(hang(cache.clone())));
        pends(first.as_mut());
        pends(second.as_mut());
        let last = write_elsewhere(&cache, &source);
        let other = spawn(move || drop(first));
        drop(second);
        other.join().unwrap();
        last.join().unwrap();
        agree(&cache, &source);
        assert_eq!(cache.get(&1), Some(11));
    });
}
