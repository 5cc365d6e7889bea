//! Calls that load, where values may be served a little longer than they live, and are loaded again before they end.

use brindle::{LoadError, Loaded};

use super::model::{Entry, Sure};
use super::trial::{Item, Trial};
use super::{Loader, Says};

/// What a loader saw.
struct Ran {
    /// What a call for the same key got from within: those who come while somebody loads get what may still be served, if anything.
    within: Result<usize, ()>,
}

impl Trial {
    pub fn load(&mut self, key: u8, says: Says, loader: Loader) {
        self.look(key);
        let live = self.model.live(key);
        let item = self.item(says);
        let ttl = if let Loader::Well(ttl) = loader { ttl.map(|time| time.0) } else { None };
        let mut ran = None;
        let got = self.make(key, item, loader, &mut ran).map(|item| item.id);
        let afresh = matches!(loader, Loader::Refresh | Loader::RefreshBadly);
        let badly = matches!(loader, Loader::Badly | Loader::RefreshBadly);
        if let (Some(entry), false) = (live, afresh) {
            self.model.used(key);
            self.check_hit(key, &entry, ran.is_some(), got);
        } else {
            assert!(ran.is_some(), "nobody loaded key {key}, which is not there");
        }
        let Some(ran) = ran else { return self.never_came(item) };
        self.check_within(key, &ran);
        if badly {
            self.never_came(item);
            // Not so what was asked for afresh.
            let fallback = if afresh { Sure::No } else { self.fallback(key) };
            let known = self.model.entries.get(&key).map(|entry| entry.id);
            assert!(fallback.allows(got.is_ok()), "{got:?} for a load of key {key} that failed, and {fallback:?}");
            assert!(got.is_err() || got.ok() == known, "an older value of key {key}");
        } else {
            assert_eq!(got, Ok(item.id), "a load of key {key} brought another's value");
            self.model.wrote(key, item.id, says, ttl);
        }
    }

    fn make(&self, key: u8, item: Item, loader: Loader, ran: &mut Option<Ran>) -> Result<Item, ()> {
        let cache = &self.cache;
        let mut loads = || {
            let within = cache.try_get_with(&key, || Err::<Item, _>(()));
            assert!(!matches!(within, Err(LoadError::Failed(()))), "two loads of key {key} at once");
            *ran = Some(Ran { within: within.map(|item| item.id).map_err(drop) });
        };
        let got = match loader {
            Loader::GetWith => Ok(cache.get_with(&key, || {
                loads();
                item
            })),
            Loader::Refresh => Ok(cache.refresh(&key, || {
                loads();
                item
            })),
            Loader::Well(ttl) => cache.load(&key, || {
                loads();
                Ok(Loaded { ttl: ttl.map(|time| time.0), ..Loaded::new(item) })
            }),
            Loader::Badly => cache.try_get_with(&key, || {
                loads();
                Err(())
            }),
            Loader::RefreshBadly => cache.try_refresh(&key, || {
                loads();
                Err(())
            }),
        };
        got.map_err(drop)
    }

    /// There was a value: it is the answer, unless it is time to load it again.
    fn check_hit(&self, key: u8, entry: &Entry, loaded: bool, got: Result<usize, ()>) {
        let refresh = match self.setup.refresh_after {
            None => Sure::No,
            // It was read for the last time just now.
            Some(_) if self.model.live(key).is_none() => Sure::Yes,
            Some(_) => self.model.wants_refresh(entry),
        };
        assert!(refresh.allows(loaded), "loaded again: {loaded}, which should be: {refresh:?}");
        assert!(loaded || got == Ok(entry.id), "{got:?}, and {entry:?} was there");
    }

    /// Whoever asks meanwhile gets what is live, then what is stale, then an error, as he would wait for himself.
    fn check_within(&mut self, key: u8, ran: &Ran) {
        let live = self.model.live(key).is_some();
        let there = if live { Sure::Yes } else { self.model.is_stale(key) };
        assert!(there.allows(ran.within.is_ok()), "{:?} while key {key} is loaded, and {there:?}", ran.within);
        if let Ok(id) = ran.within {
            assert_eq!(self.model.entries.get(&key).map(|entry| entry.id), Some(id), "an older value of key {key}");
        }
        if live {
            self.model.used(key);
        }
    }

    /// Is there an answer to a load that failed?
    fn fallback(&self, key: u8) -> Sure {
        let refreshes = self.setup.refresh_after.is_some();
        if self.model.live(key).is_some() {
            return if refreshes || self.fails_safe() { Sure::Yes } else { Sure::No };
        }
        if self.fails_safe() { self.model.is_stale(key) } else { Sure::No }
    }

    fn fails_safe(&self) -> bool {
        self.setup.fail_safe && self.setup.stale.is_some()
    }
}
