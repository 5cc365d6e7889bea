//! The calls of threads, each in one piece but for what the user's code does in the middle of it.

use std::time::Duration;

use brindle::{Leased, Loaded, Op};

use super::world::{Broken, Held, Reached, World, fire, survives};
use super::{End, Hook, KEYS, Write};

impl World {
    pub fn write(&self, write: Write, key: usize) {
        if self.setup.sourced && !write.is_sourced() {
            return;
        }
        let fenced = |other: usize| match write {
            Write::Retain | Write::Clear => true,
            Write::Group => other % 2 == key % 2,
            Write::Transaction => other == key || other == (key + 1) % KEYS,
            _ => other == key,
        };
        let all: Vec<usize> = (0..KEYS).filter(|&other| fenced(other)).collect();
        // Of two writes that nobody has ordered the older may be the last.
        if all.iter().any(|&other| self.busy(other).get() > 0) {
            return;
        }
        // What is only asked about stays.
        let written = all.iter().copied().filter(|&other| write != Write::Retain || other == key);
        let states: Vec<(usize, u64)> = written.map(|other| (other, self.advance(other))).collect();
        let enter = |by: u64| {
            for &other in &all {
                self.busy(other).set(self.busy(other).get().wrapping_add(by));
                self.fenced(other);
            }
        };
        enter(1);
        let done = survives(|| self.carry_out(write, key));
        enter(u64::MAX);
        if done == Some(true) {
            states.into_iter().for_each(|(key, state)| self.know(key, state));
        }
    }

    /// Tells whether it has taken effect, or something newer had.
    fn carry_out(&self, write: Write, key: usize) -> bool {
        let (cache, name) = (&self.cache, key as u8);
        let state = self.truth[key].get();
        let value = || self.value(state);
        match write {
            Write::InsertAt => _ = cache.insert_at(name, value(), state),
            Write::InvalidateAt => _ = cache.invalidate_at(&name, state),
            Write::Invalidate => _ = cache.invalidate(&name),
            Write::Remove => _ = cache.remove(&name),
            Write::RemoveIf => {
                cache.remove_if(&name, |_, _| {
                    fire(Hook::Closure);
                    true
                });
            }
            Write::Retain => cache.retain(|&other, _| {
                fire(Hook::Closure);
                other != name
            }),
            Write::Clear => cache.clear(),
            Write::Group => _ = cache.invalidate_group(&(name % 2)),
            Write::Transaction => return self.change_together(key),
            Write::Insert => _ = cache.insert(name, value()),
            Write::InsertForAWhile => _ = cache.insert_with_ttl(name, value(), Duration::from_secs(3)),
            Write::InsertOfNoTime => _ = cache.insert_with_ttl(name, value(), Duration::ZERO),
            Write::Put => {
                cache.entry(name).and_compute_with(|_| {
                    fire(Hook::Closure);
                    Op::Put(value())
                });
            }
            Write::TakeOut => {
                cache.entry(name).and_compute_with(|_| {
                    fire(Hook::Closure);
                    Op::Remove
                });
            }
            Write::Swap => {
                let version = cache.get_entry(&name).map(|entry| entry.version);
                if cache.compare_and_swap(name, version, value()).is_err() {
                    // A load has stored something in between: it says nothing then.
                    cache.invalidate(&name);
                }
            }
        }
        true
    }

    /// One key is written, the next one invalidated; unless a load has brought what is to be written.
    fn change_together(&self, key: usize) -> bool {
        let (name, next) = (key as u8, ((key + 1) % KEYS) as u8);
        let state = self.truth[key].get();
        let sourced = self.setup.sourced;
        let committed = self.cache.transaction(|t| {
            fire(Hook::Closure);
            if sourced {
                t.insert_at(name, self.value(state), state)
            } else {
                t.insert(name, self.value(state))
            }
            t.invalidate(&next);
        });
        assert!(sourced || committed.is_ok(), "nobody said anything of its source");
        committed.is_ok()
    }

    /// Where nobody else loads, or it would wait for itself.
    pub fn load(&self, key: usize, end: End) {
        if self.cache.stats().flights > 0 {
            return;
        }
        let floor = self.floors()[key];
        let loads = || {
            self.blocking.set(false);
            let _underway = self.begins([key].into_iter());
            let state = self.truth[key].get();
            fire(Hook::Loader);
            self.comes_to(end).map(|()| self.loaded(state))
        };
        self.blocking.set(true);
        let got = self.calls(|| survives(|| self.cache.load(&(key as u8), loads)));
        self.blocking.set(false);
        if let Some(Ok(value)) = got {
            assert!(value.state >= floor, "a load gave {} of key {key}, and began after {floor}", value.state);
        }
    }

    /// Where nobody else writes the key.
    pub fn write_through(&self, key: usize, end: End) {
        if self.lines[key].get() > 0 || self.busy(key).get() > 0 {
            return;
        }
        let reached = Reached::begins(key);
        survives(|| {
            self.cache.write_through(key as u8, |_| {
                let value = reached.reach();
                fire(Hook::Loader);
                self.comes_to(end)?;
                let state = value.state;
                Ok::<_, Broken>(if self.setup.sourced { Loaded::new(value).at(state) } else { Loaded::new(value) })
            })
        });
    }

    pub fn lease(&self, key: usize) {
        let floor = self.floors()[key];
        self.calls(|| match survives(|| self.cache.get_or_lease(&(key as u8), Some(Duration::ZERO))) {
            Some(Leased::Value(value)) => {
                assert!(value.state >= floor, "{} of key {key} after {floor}", value.state);
            }
            Some(Leased::Lease(lease)) => {
                let (underway, state) = (self.begins([key].into_iter()), self.truth[key].get());
                self.leases.borrow_mut().push(Held { lease, state, underway });
            }
            _ => {}
        });
    }

    pub fn end_lease(&self, at: u8, end: End) {
        let held = {
            let mut leases = self.leases.borrow_mut();
            let some = leases.len();
            (some > 0).then(|| leases.swap_remove(usize::from(at) % some))
        };
        let Some(Held { lease, state, underway }) = held else { return };
        drop(underway);
        survives(|| match end {
            End::Brings => _ = lease.fill_loaded(self.loaded(state)),
            End::Fails => lease.fail(Broken),
            End::Panics => drop(lease),
        });
    }

    pub fn read(&self, key: usize) {
        let floor = self.floors()[key];
        let seen = survives(|| {
            self.cache.with(&(key as u8), |value| {
                fire(Hook::Closure);
                value.state
            })
        });
        let seen = seen.flatten();
        assert!(seen.is_none_or(|seen| seen >= floor), "{seen:?} of key {key} after {floor}");
    }

    pub fn snapshot(&self) {
        let floors = self.floors();
        let keys: [u8; KEYS] = std::array::from_fn(|key| key as u8);
        let Some(values) = survives(|| self.cache.get_many_snapshot(&keys)) else { return };
        for ((value, floor), key) in values.into_iter().zip(floors).zip(keys) {
            let seen = value.map(|value| value.state);
            assert!(seen.is_none_or(|seen| seen >= floor), "{seen:?} of key {key} after {floor}");
        }
    }
}
