//! A bounded, lock-striped, versioned in-memory cache in which **state that has been replaced or invalidated never comes back**.
//!
//! - Hits take no lock, allocate nothing and, once an entry's counter is saturated, write no shared memory.
//! - Every entry has a [`Version`] that is never used twice, so [`compare_and_swap`](Cache::compare_and_swap) has no ABA problem.
//! - Writes may carry the version of their source ([`insert_at`](Cache::insert_at)): order decides then, not arrival, and a late write
//!   is refused even after its key was invalidated, evicted or cleared.
//! - Missing keys are [loaded](Cache::get_with) once, whoever asks, threads and tasks together; and whatever is written or invalidated while
//!   a load runs is not undone by it.
//! - The weight in the cache is at most its capacity whenever a write returns. There is no background thread.
//!
//! ```
//! use brindle::Cache;
//!
//! let cache: Cache<String, u32> = Cache::new(10_000);
//! cache.insert("a".to_string(), 1);
//! assert_eq!(cache.get("a"), Some(1));
//!
//! // Row version 7 was committed and its key invalidated; a slow reader then brings what it read before, version 6.
//! cache.invalidate_at("a", 7);
//! assert!(cache.insert_at("a".to_string(), 6, 6).is_err());
//! assert_eq!(cache.get("a"), None);
//! ```
//!
//! # Loads
//!
//! A load takes a lease of its key before the loader runs. Any write, removal or invalidation of the key, by whatever method, fences the
//! lease: what the loader brings is then not stored. It goes to those who were waiting for it already; who comes later starts a load of
//! his own. So a slow load cannot bring back what was replaced while it ran, and no versions are needed for that.
//!
//! | what happens to the loader | what becomes of those who wait | |
//! | --- | --- | --- |
//! | it brings a value | they get it | [`get_with`](Cache::get_with), [`load`](Cache::load), [`refresh`](Cache::refresh), [`try_get_many_with`](Cache::try_get_many_with), and `_async` of each |
//! | the key is written meanwhile | they get what was written, at once | |
//! | it fails | they get its error; nothing is stored | [`LoadError`], [`Builder::negative_ttl`] |
//! | it panics, its future is dropped, its [`Lease`] is dropped | one of them takes over with its own loader | |
//! | it hangs, or its lease is leaked | one of them takes over when it is overdue | [`Builder::load_timeout`] |
//! | it asks for its own key | the call that does gets an error | [`LoadError::Reentrant`] |
//!
//! Values may be served a little longer than they live while one caller loads ([`Builder::serve_stale`]), and loaded again before they end
//! ([`Builder::refresh_after`], [`Builder::early_refresh`]), by a caller or [in the background](Builder::spawner).
//!
//! # Many keys at once
//!
//! | what changes together | how | what readers see |
//! | --- | --- | --- |
//! | keys that are known | [`transaction`](Cache::transaction) | all of it or nothing: once a new value was seen, no replaced or invalidated one is |
//! | what belongs together | [`group_by`](Builder::group_by), [`invalidate_group`](Cache::invalidate_group) | none of it after the call, nor what is being loaded for it |
//! | a key and its source | [`write_through`](Cache::write_through) | the old value until the source has acknowledged the new one; never again after |
//! | nothing: many keys are read | [`get_many_snapshot`](Cache::get_many_snapshot) | the values of one moment |
//!
//! Features, all off unless chosen: `tokio` (timers of waiting tasks are tokio's), `load-times` (a histogram of load times), `write-behind`
//! (`WriteBehind`: writes that reach the source of truth later, in batches).
//!
//! # What it costs
//!
//! | call | cost |
//! | --- | --- |
//! | [`get`](Cache::get) | one hash, two cache lines, one `clone` |
//! | [`with`](Cache::with) | the same without the clone |
//! | [`get_ref`](Cache::get_ref) | the same, and one atomic addition now, one subtraction when the guard is dropped |
//! | [`get_with`](Cache::get_with) | a hit: as `get`; a miss: two short turns of the stripe's lock, one allocation, one clone of the key |
//! | [`get_many_snapshot`](Cache::get_many_snapshot) | two or three times its `get`s; where others write in between, or a key is absent, the locks of its stripes |
//! | [`transaction`](Cache::transaction) | two to three times its writes one by one, and all its stripes' locks at once |
//! | [`insert`](Cache::insert) | one hash, one lock that is held for the transition alone, one look whether a load is under way; every few dozen to few hundred writes a reclamation, which drops what was retired and, on Linux, asks every running thread for a barrier |
//!
//! Values that are replaced, removed or evicted are dropped a little later, by the writes that follow: a stripe keeps at most a batch of
//! 64 to 512 of them (a sixteenth of its share; at least 256 where key and value own nothing that lies elsewhere), and one more batch for each thread that is reclaiming at that moment.
//! [`reclaim`](Cache::reclaim) drops them all at once. A reader keeps back only the one entry that it is reading.

#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(feature = "write-behind")]
mod behind;
mod builder;
mod cache;
mod config;
mod core;
mod entry;
mod error;
mod event;
mod expiry;
mod face;
mod failure;
mod flight;
pub mod guide;
#[cfg(test)]
mod interleavings;
mod lineage;
mod loaded;
#[cfg(all(test, brindle_loom))]
mod models;
mod policy;
mod rule;
mod sync;
mod table;
mod time;
mod unwind;

#[cfg(feature = "write-behind")]
pub use crate::behind::AsyncSink;
#[cfg(feature = "write-behind")]
pub use crate::behind::Pending;
#[cfg(feature = "write-behind")]
pub use crate::behind::Sink;
#[cfg(feature = "write-behind")]
pub use crate::behind::SinkError;
#[cfg(feature = "write-behind")]
pub use crate::behind::Unwritten;
#[cfg(feature = "write-behind")]
pub use crate::behind::WhyUnwritten;
#[cfg(feature = "write-behind")]
pub use crate::behind::WriteBehind;
#[cfg(feature = "write-behind")]
pub use crate::behind::WriteBehindBuilder;
pub use crate::builder::Builder;
pub use crate::cache::Cache;
pub use crate::cache::EntryOf;
pub use crate::cache::Transaction;
pub use crate::config::WhileWriting;
pub use crate::core::Computed;
pub use crate::core::Iter;
pub use crate::core::Lease;
#[cfg(feature = "load-times")]
pub use crate::core::LoadTimes;
pub use crate::core::Op;
pub use crate::core::Stats;
pub use crate::entry::Entry;
pub use crate::entry::EntryRef;
pub use crate::entry::Removed;
pub use crate::error::Aborted;
pub use crate::error::BuildError;
pub use crate::error::Conflict;
pub use crate::error::LoadError;
pub use crate::error::Superseded;
pub use crate::error::TooHeavy;
pub use crate::error::TransactionError;
pub use crate::error::Unfilled;
pub use crate::error::WhyAborted;
pub use crate::error::WhyUnfilled;
pub use crate::error::WriteError;
pub use crate::event::Cause;
pub use crate::expiry::Expiry;
pub use crate::face::BackgroundLoad;
pub use crate::face::Leased;
pub use crate::failure::Failure;
pub use crate::loaded::Loaded;
pub use crate::rule::swap::Expected;
pub use crate::rule::tombstone::EqualSource;
pub use crate::rule::tombstone::Ordering;
pub use crate::rule::tombstone::WhenForgotten;
pub use crate::rule::version::Version;
pub use crate::time::Clock;
pub use crate::time::MockClock;
pub use crate::time::TimeSource;

/// For the models' tests: mechanisms that can be taken out, to see that the proofs notice.
#[cfg(any(brindle_loom, brindle_shuttle))]
#[doc(hidden)]
pub mod broken {
    pub use crate::sync::Broken;
    pub use crate::sync::without;
}

/// The examples of the README are run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
