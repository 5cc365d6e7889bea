//! Calls that load, leases, and writes through the cache.

use std::time::Duration;

use brindle::{Lease, Leased, Loaded, WhyUnfilled};

use crate::input::Source;
use crate::ops::call::{Ends, Loader};
use crate::ops::model::Claim;
use crate::ops::trial::{Trial, name};
use crate::tracked::Tracked;

/// Leases kept at once.
const LEASES: usize = 4;

/// A lease, and what the model knew when it was given.
pub struct Held {
    key: u8,
    lease: Lease<u8, Tracked>,
    fences: u64,
}

impl Trial {
    pub fn load(&mut self, key: u8, weight: u64, loader: Loader) {
        // It would wait for ever for a lease that is held in this thread.
        if self.is_fleeting() || self.leases.iter().any(|held| held.key == key && held.lease.is_current()) {
            return;
        }
        self.look(key);
        let live = self.model.live(key).map(|entry| entry.id);
        let mut made = None;
        let mut make = || {
            let value = self.ledger.value(weight);
            made = Some(value.id());
            value
        };
        let got = match loader {
            Loader::GetWith => Ok(self.cache.get_with(&key, make)),
            Loader::Refresh => Ok(self.cache.refresh(&key, make)),
            Loader::TryGetWith(Ends::Well) => self.cache.try_get_with(&key, || Ok(make())),
            Loader::TryGetWith(Ends::Badly) => self.cache.try_get_with(&key, || Err(())),
        };
        let got = got.ok().map(|value| value.id());
        match (loader, live) {
            (Loader::GetWith | Loader::TryGetWith(_), Some(id)) => {
                assert_eq!((got, made), (Some(id), None), "key {key} was there, and yet it was loaded");
                self.model.touch(key);
            }
            (Loader::TryGetWith(Ends::Badly), None) => assert_eq!(got, None, "a failed load brought a value"),
            _ => {
                assert_eq!(got, made, "a load of key {key} brought another's value");
                self.came(key, (made.expect("it was loaded"), weight), Claim::Fetched(None));
            }
        }
    }

    pub fn write_through(&mut self, key: u8, weight: u64, source: Option<Source>, ends: Ends) {
        self.look(key);
        let live = self.model.live(key).map(|entry| (entry.id, entry.version));
        let source = source.map(|Source(source)| source);
        let mut made = None;
        let written = self.cache.write_through(key, |current| {
            assert_eq!(current.as_ref().map(name), live, "a wrong entry was to be overwritten");
            if ends == Ends::Badly {
                return Err(());
            }
            let value = self.ledger.value(weight);
            made = Some(value.id());
            Ok(Loaded { source, ..Loaded::new(value) })
        });
        match (written, made) {
            (Ok(Some(version)), Some(id)) => self.model.wrote(key, (id, weight), version, Claim::Fetched(source), None),
            (Ok(None), Some(_)) => self.came_late(key, source.expect("nobody else writes")),
            (Err(_), None) => self.model.removed(key),
            _ => panic!("a write through the cache ended in another way than the source's"),
        }
    }

    /// A write through the cache of a source version that was no news: an entry as new stays, any other leaves.
    fn came_late(&mut self, key: u8, source: u64) {
        self.model.fence(key);
        self.model.ended_at(key, source);
        self.look(key);
    }

    pub fn lease(&mut self, key: u8) {
        self.look(key);
        let live = self.model.live(key);
        let fences = self.model.fences(key);
        let mut rivals = self.leases.iter().filter(|held| held.key == key && held.fences == fences);
        match self.cache.get_or_lease(&key, Some(Duration::ZERO)) {
            Leased::Value(value) => self.used(key, Some((value.id(), None))),
            Leased::TimedOut => assert!(rivals.next().is_some(), "busy with a load of key {key} that nobody makes"),
            Leased::Lease(lease) => {
                assert!(live.is_none(), "key {key} is there, and yet it is to be loaded");
                assert!(rivals.next().is_none(), "two loads of key {key} at once");
                self.leases.push(Held { key, lease, fences });
                if self.leases.len() > LEASES {
                    self.leases.remove(0);
                }
            }
            _ => panic!("a lease is no load of this thread"),
        }
    }

    pub fn fill(&mut self, at: u8, weight: u64) {
        let Some(Held { key, lease, fences }) = self.take(at) else { return };
        self.look(key);
        let fenced = self.model.fences(key) != fences;
        let value = self.ledger.value(weight);
        let id = value.id();
        match lease.fill(value) {
            Ok(version) => {
                assert!(!fenced, "a fenced load of key {key} was stored");
                self.model.wrote(key, (id, weight), version, Claim::Fetched(None), None);
            }
            Err(unfilled) => {
                assert_eq!((unfilled.value.id(), unfilled.why), (id, WhyUnfilled::Fenced));
                assert!(fenced, "a load of key {key} that nothing fenced was not stored");
            }
        }
    }

    pub fn drop_lease(&mut self, at: u8, ends: Ends) {
        match (self.take(at), ends) {
            (Some(held), Ends::Badly) => held.lease.fail(()),
            (held, _) => drop(held),
        }
    }

    fn take(&mut self, at: u8) -> Option<Held> {
        let len = self.leases.len();
        (len > 0).then(|| self.leases.swap_remove(usize::from(at) % len))
    }
}
