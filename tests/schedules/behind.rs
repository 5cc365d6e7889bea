//! Write-behind: whatever was acknowledged reaches the sink, each key in its order, one batch at a time.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use brindle::AsyncSink;
use brindle::Pending;
use brindle::Sink;
use brindle::Version;
use brindle::WriteBehind;
use shuttle::future::block_on;
use shuttle::future::yield_now;
use shuttle::thread;

use super::common::Itself;
use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Room;
use super::stage::Small;
use super::stage::both;
use super::stage::check_idle;
use super::stage::each;
use super::stage::patiently;
use super::stage::plain;
use super::stage::three;

/// Rows, and how many batches fail before one is written.
struct Rows {
    rows: Mutex<BTreeMap<u64, (Version, u64)>>,
    writing: Room,
    failing: u64,
}

impl Rows {
    fn new(failing: u64) -> Self {
        Rows { rows: Mutex::default(), writing: Room::new(), failing }
    }

    fn batch(&self, batch: &[Pending<u64, u64>]) -> Result<(), &'static str> {
        self.writing.alone(|| {
            thread::yield_now();
            if self.writing.entered() <= self.failing {
                return Err("down");
            }
            let mut rows = self.rows.lock().unwrap();
            // A batch whose writer left is written again.
            for item in batch {
                let row = (item.version(), *item.value());
                let before = rows.insert(*item.key(), row);
                assert!(before.is_none_or(|before| before.0 <= row.0), "{row:?} after {before:?}");
            }
            Ok(())
        })
    }
}

impl Sink<u64, u64> for Rows {
    type Error = &'static str;

    fn write(&self, batch: &[Pending<u64, u64>]) -> Result<(), &'static str> {
        self.batch(batch)
    }
}

impl AsyncSink<u64, u64> for Rows {
    type Error = &'static str;

    fn write(&self, batch: &[Pending<u64, u64>]) -> impl Future<Output = Result<(), &'static str>> + Send {
        let written = self.batch(batch);
        async move {
            yield_now().await;
            written
        }
    }
}

type Behind = WriteBehind<u64, u64, Itself, Rows>;

fn behind(cache: &Small, capacity: usize, failing: u64) -> Behind {
    // No pause: time stands still here.
    WriteBehind::builder(cache.clone(), Rows::new(failing))
        .capacity(capacity)
        .batch(2)
        .backoff(Duration::ZERO, Duration::ZERO)
        .build()
}

/// The sink has what the cache has.
fn check_written(behind: &Behind, keys: &[u64]) {
    assert!(behind.is_empty());
    for key in keys {
        let entry = behind.cache().get_entry(key).map(|entry| (entry.version, entry.value));
        assert_eq!(behind.sink().rows.lock().unwrap().get(key).copied(), entry, "key {key}");
    }
    check_idle(behind.cache());
}

#[test]
fn what_was_acknowledged_is_written_in_order() {
    play(|| {
        let behind = behind(&plain(8), 8, 0);
        let insert = |own: u64| {
            behind.insert(KEY, own).unwrap();
            behind.insert(FAR + own, own).unwrap();
        };
        three(|| insert(1), || insert(2), || behind.flush().unwrap());
        behind.close().unwrap();
        check_written(&behind, &[KEY, FAR + 1, FAR + 2]);
    });
}

#[test]
fn who_finds_no_room_writes_or_waits() {
    play(|| {
        let behind = behind(&plain(8), 1, 0);
        each(3, |own| behind.insert(own, own).map(drop).unwrap());
        behind.flush().unwrap();
        check_written(&behind, &[0, 1, 2]);
    });
}

#[test]
fn a_runner_writes_until_it_is_closed() {
    play(|| {
        let behind = behind(&plain(8), 2, 0);
        let write = || {
            for key in [KEY, NEAR, FAR] {
                behind.insert(key, key).unwrap();
            }
            behind.close().unwrap();
        };
        let refused = || behind.insert(9, 9).is_err();
        let (ran, (), refused) = three(|| behind.run(), write, refused);
        assert!(ran.is_ok());
        check_written(&behind, if refused { &[KEY, NEAR, FAR] } else { &[KEY, NEAR, FAR, 9] });
    });
}

#[test]
fn a_batch_that_fails_is_written_again() {
    play(|| {
        let behind = behind(&plain(8), 8, 2);
        let write = |key: u64| {
            behind.insert(key, 1).unwrap();
            behind.insert(key, 2).unwrap();
            behind.flush().unwrap();
        };
        both(|| write(KEY), || write(KEY));
        check_written(&behind, &[KEY]);
    });
}

#[test]
fn tasks_drive_the_sink_and_may_leave() {
    play(|| {
        let behind = behind(&plain(8), 2, 0);
        let insert = |key: u64| block_on(behind.insert_async(key, key)).unwrap();
        let leave = || block_on(patiently(1, behind.flush_async()));
        let write = || {
            insert(KEY);
            insert(FAR);
            block_on(behind.flush_async()).unwrap();
        };
        three(|| insert(NEAR), leave, write);
        block_on(behind.close_async()).unwrap();
        check_written(&behind, &[KEY, NEAR, FAR]);
    });
}

#[test]
fn what_is_pending_is_neither_evicted_nor_loaded_over() {
    play(|| {
        let cache = plain(2);
        let behind = behind(&cache, 1, 0);
        behind.insert(KEY, 5).unwrap();
        let evict = || (20..23).for_each(|key| _ = cache.insert(key, 0));
        let load = || cache.refresh(&KEY, || 4);
        let read = || cache.get(&KEY);
        let ((), loaded, read) = three(evict, load, read);
        assert_eq!((loaded, read), (5, Some(5)));
        behind.close().unwrap();
        check_idle(&cache);
    });
}
