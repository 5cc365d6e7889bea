//! Writes behind the cache: the sink fails at times, and sees to it that versions only rise and that nothing is lost.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use ahash::RandomState;
use brindle::Cache;
use brindle::Pending;
use brindle::Sink;
use brindle::WriteBehind;

use crate::common::random::Random;
use crate::row::Row;
use crate::source::Down;
use crate::truth::Truth;

/// Of so many batches one fails.
const FAILURES: u64 = 16;

/// The source that is written behind the cache.
pub(crate) struct Books {
    truth: Arc<Truth>,
    /// By key, the newest revision that was acknowledged, and that which was written last.
    acknowledged: Vec<AtomicU64>,
    written: Vec<AtomicU64>,
    batches: AtomicU64,
}

pub(crate) type Behind = WriteBehind<u64, Row, RandomState, Books>;

pub(crate) fn start(cache: &Cache<u64, Row>, truth: &Arc<Truth>, seed: u64) -> Behind {
    let random = &mut Random::new(seed, 4);
    let by_key = || (0..truth.keys()).map(|_| AtomicU64::new(0)).collect();
    let books = Books { truth: Arc::clone(truth), acknowledged: by_key(), written: by_key(), batches: AtomicU64::new(0) };
    WriteBehind::builder(cache.clone(), books)
        .capacity(1 + random.below(200))
        .batch(1 + random.below(50))
        .backoff(Duration::from_micros(100), Duration::from_millis(1))
        .build()
}

impl Sink<u64, Row> for Books {
    type Error = Down;

    fn write(&self, batch: &[Pending<u64, Row>]) -> Result<(), Down> {
        // What it fails at may be written in part.
        let fails = self.batches.fetch_add(1, SeqCst) % FAILURES == FAILURES - 1;
        let part = if fails { batch.len() / 2 } else { batch.len() };
        batch[..part].iter().for_each(|item| self.write_one(item));
        if fails { Err(Down) } else { Ok(()) }
    }
}

impl Books {
    fn write_one(&self, item: &Pending<u64, Row>) {
        let (key, revision) = (*item.key(), item.version().revision());
        if let Some(fault) = item.value().fault(key) {
            self.truth.blame(|| format!("the sink got {fault} for key {key}: {item:?}"));
        }
        let before = self.written[key as usize].swap(revision, SeqCst);
        if before > revision {
            self.truth.blame(|| format!("the sink got revision {revision} of key {key} after {before}"));
        }
    }

    pub(crate) fn acknowledge(&self, key: u64, revision: u64) {
        self.acknowledged[key as usize].fetch_max(revision, SeqCst);
    }

    /// Nobody writes any more, and everything is said to be written.
    fn balance(&self) {
        for (key, (acknowledged, written)) in self.acknowledged.iter().zip(&self.written).enumerate() {
            let (acknowledged, written) = (acknowledged.load(SeqCst), written.load(SeqCst));
            if written < acknowledged {
                self.truth.blame(|| {
                    format!("key {key} was written behind\n  seen      revision {written} in the source\n  expected  {acknowledged}, which was acknowledged")
                });
            }
        }
    }
}

/// Writes what is pending, whatever it takes, and looks whether all has come.
pub(crate) fn finish(behind: Behind) {
    while behind.close().is_err() {}
    behind.sink().balance();
}
