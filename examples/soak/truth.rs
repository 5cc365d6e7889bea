//! The source of truth, and what is known of each key: what it holds, and what a read that begins now must at least show.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use brindle::EntryRef;
use brindle::Version;

use crate::fences::Span;
use crate::fences::Traffic;
use crate::row::District;
use crate::row::Row;
use crate::row::eldest;

/// Swaps of a key that are remembered.
const SWAPS: usize = 128;

pub(crate) struct Truth {
    keys: Vec<Key>,
    stamps: AtomicU64,
    pub(crate) traffic: Traffic,
    verdict: Mutex<Option<String>>,
    violated: AtomicBool,
}

struct Key {
    /// For one change at a time of the source and the cache together.
    turn: Mutex<()>,
    /// The stamp of what the source has.
    committed: AtomicU64,
    /// No read that begins from now on may show less.
    least: AtomicU64,
    /// The newest revision that was seen in the cache.
    revision: AtomicU64,
    /// The revision of which the listener heard last.
    told: AtomicU64,
    /// The revisions that were swapped last.
    swapped: Mutex<VecDeque<u64>>,
}

/// What a read that begins at one moment must at least show.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    least: u64,
    revision: u64,
}

impl Truth {
    /// A source that has every key, at stamp 1.
    pub(crate) fn new(keys: u64, loads_end_by_time: bool) -> Self {
        let key = || Key {
            turn: Mutex::new(()),
            committed: AtomicU64::new(1),
            least: AtomicU64::new(1),
            revision: AtomicU64::new(0),
            told: AtomicU64::new(0),
            swapped: Mutex::new(VecDeque::new()),
        };
        Self {
            keys: (0..keys).map(|_| key()).collect(),
            stamps: AtomicU64::new(1),
            traffic: Traffic::new(keys, loads_end_by_time),
            verdict: Mutex::new(None),
            violated: AtomicBool::new(false),
        }
    }

    fn key(&self, key: u64) -> &Key {
        &self.keys[key as usize]
    }

    /// Where the least stamp of the key is kept: what was seen of one account counts for its siblings.
    fn ledger(&self, key: u64) -> &Key {
        self.key(if District::of(key) == District::Account { eldest(key) } else { key })
    }

    pub(crate) fn keys(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Nobody else who takes it changes the key until it is dropped.
    pub(crate) fn turn(&self, key: u64) -> MutexGuard<'_, ()> {
        self.ledger(key).turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source has a new state of the key; gives its stamp.
    pub(crate) fn commit(&self, key: u64) -> u64 {
        let stamp = self.stamps.fetch_add(1, SeqCst) + 1;
        self.ledger(key).committed.fetch_max(stamp, SeqCst);
        stamp
    }

    pub(crate) fn committed(&self, key: u64) -> u64 {
        self.ledger(key).committed.load(SeqCst)
    }

    /// What the source has.
    pub(crate) fn row(&self, key: u64) -> Row {
        Row::new(key, self.committed(key), 0)
    }

    /// From now on no read of the key may show less than `stamp`.
    pub(crate) fn raise(&self, key: u64, stamp: u64) {
        self.ledger(key).least.fetch_max(stamp, SeqCst);
    }

    /// Take it before the read begins.
    pub(crate) fn bounds(&self, key: u64) -> Bounds {
        Bounds { least: self.ledger(key).least.load(SeqCst), revision: self.key(key).revision.load(SeqCst) }
    }

    /// A read of `key`, by the call named, has shown `row`.
    pub(crate) fn judge(&self, call: &str, key: u64, bounds: Bounds, row: &Row) {
        if let Some(fault) = row.fault(key) {
            self.blame(|| format!("`{call}` of key {key} ({:?}) showed {fault}: {row:?}", District::of(key)));
        }
        let (stamp, committed) = (row.stamp, self.committed(key));
        if stamp < bounds.least {
            self.blame(|| {
                self.told_of(call, key, format!("stamp {stamp}"), format!("{} or newer, as was due when it began", bounds.least))
            });
        }
        if stamp > committed {
            self.blame(|| {
                self.told_of(call, key, format!("stamp {stamp}"), format!("{committed} at most, which is all that was written"))
            });
        }
        if District::of(key) == District::Account {
            self.raise(key, stamp);
        }
    }

    /// The same of an entry, whose version can be judged too.
    pub(crate) fn judge_entry(&self, call: &str, bounds: Bounds, entry: &EntryRef<u64, Row>) {
        self.judge(call, *entry.key(), bounds, entry.value());
        self.judge_version(call, *entry.key(), bounds, entry.version());
    }

    /// Versions of a key are never seen to go back.
    pub(crate) fn judge_version(&self, call: &str, key: u64, bounds: Bounds, version: Version) {
        let (revision, least) = (version.revision(), bounds.revision);
        if revision < least {
            self.blame(|| {
                self.told_of(call, key, format!("revision {revision}"), format!("{least} or newer, as was seen before it began"))
            });
        }
        self.key(key).revision.fetch_max(revision, SeqCst);
    }

    /// The state with this revision was swapped for another: that can happen once.
    pub(crate) fn swapped(&self, call: &str, key: u64, old: Version, new: Version) {
        let mut swapped = self.key(key).swapped.lock().unwrap_or_else(PoisonError::into_inner);
        if swapped.contains(&old.revision()) {
            self.blame(|| {
                self.told_of(call, key, format!("a second swap of {old}"), "one winner of those who expect it".to_owned())
            });
        }
        if new <= old {
            self.blame(|| self.told_of(call, key, format!("version {new}"), format!("more than {old}, which it replaced")));
        }
        if swapped.len() == SWAPS {
            swapped.pop_front();
        }
        swapped.push_back(old.revision());
    }

    /// The listener has heard of an entry: of each once, in the order of their versions.
    pub(crate) fn told(&self, entry: &EntryRef<u64, Row>) {
        let (key, revision) = (*entry.key(), entry.version().revision());
        if let Some(fault) = entry.value().fault(key) {
            self.blame(|| format!("the listener was told of {fault}, key {key}: {:?}", entry.value()));
        }
        let before = self.key(key).told.swap(revision, SeqCst);
        if before >= revision {
            self.blame(|| {
                self.told_of(
                    "removal_listener",
                    key,
                    format!("revision {revision}"),
                    format!("one after {before}, of which it heard before"),
                )
            });
        }
    }

    fn told_of(&self, call: &str, key: u64, seen: String, expected: String) -> String {
        let district = District::of(key);
        format!("`{call}` of key {key} ({district:?})\n  seen      {seen}\n  expected  {expected}")
    }

    /// A promise is broken. The first one to say so is heard.
    pub(crate) fn blame(&self, what: impl FnOnce() -> String) {
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        verdict.get_or_insert_with(what);
        self.violated.store(true, SeqCst);
    }

    pub(crate) fn is_violated(&self) -> bool {
        self.violated.load(SeqCst)
    }

    pub(crate) fn verdict(&self) -> Option<String> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// While it lives, something is done that ends the key's loads.
    pub(crate) fn fencing(&self, key: u64) -> Span<'_> {
        self.traffic.fencing(key)
    }

    /// What reads must at least show when all that is there of the keys that `gone` names has been invalidated.
    pub(crate) fn states(&self, gone: impl Fn(u64) -> bool) -> Vec<(u64, u64)> {
        (0..self.keys()).filter(|&key| gone(key)).filter_map(|key| self.state(key)).collect()
    }

    /// The same of one key. An invalidation without a version says nothing of versions that are yet to arrive, nor of keys that have no
    /// other source than the cache.
    pub(crate) fn state(&self, key: u64) -> Option<(u64, u64)> {
        matches!(District::of(key), District::Plain | District::Through).then(|| (key, self.committed(key)))
    }

    pub(crate) fn raise_all(&self, states: impl IntoIterator<Item = (u64, u64)>) {
        states.into_iter().for_each(|(key, stamp)| self.raise(key, stamp));
    }
}
