//! The removal listener: what it hears is judged and counted. It calls the cache, and panics at times.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use brindle::Builder;
use brindle::Cache;
use brindle::Removed;

use crate::row::Row;
use crate::source::panic_as_planned;
use crate::truth::Truth;

/// Of so many revisions one makes it panic.
const PANICS: u64 = 64;

#[derive(Default)]
pub(crate) struct Heard {
    count: AtomicU64,
    panics: AtomicU64,
    /// The cache, as long as it may be called: a listener that keeps its cache alive would keep itself alive.
    cache: Mutex<Option<Cache<u64, Row>>>,
}

impl Heard {
    pub(crate) fn listen(self: &Arc<Self>, builder: Builder<u64, Row>, truth: &Arc<Truth>, panics: bool) -> Builder<u64, Row> {
        let (heard, truth) = (Arc::clone(self), Arc::clone(truth));
        builder.removal_listener(move |removed| heard.hear(&removed, &truth, panics))
    }

    fn hear(&self, removed: &Removed<u64, Row>, truth: &Truth, panics: bool) {
        truth.told(&removed.entry);
        self.count.fetch_add(1, SeqCst);
        // Who finds another one asking does without, so that listeners do not wait for each other.
        let cache = self.cache.try_lock().ok().and_then(|cache| cache.clone());
        if let Some(cache) = cache {
            let bounds = truth.bounds(*removed.key());
            cache.peek(removed.key()).iter().for_each(|row| truth.judge("peek, by the listener", *removed.key(), bounds, row));
        }
        if panics && removed.version().revision().is_multiple_of(PANICS) {
            self.panics.fetch_add(1, SeqCst);
            panic_as_planned();
        }
    }

    pub(crate) fn may_call(&self, cache: &Cache<u64, Row>) {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = Some(cache.clone());
    }

    pub(crate) fn let_go(&self) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(SeqCst)
    }
}
