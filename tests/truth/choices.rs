//! The choices of the builder, drawn from a seed.

use std::hash::BuildHasher;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use brindle::BackgroundLoad;
use brindle::Cache;
use brindle::Clock;
use brindle::EqualSource;
use brindle::MockClock;
use brindle::Ordering;
use brindle::WhenForgotten;
use brindle::WhileWriting;

use crate::common::Rng;
use crate::source::Value;
use crate::tasks::Loading;
use crate::tasks::Shared;

pub const KEYS: usize = 6;
pub const GROUPS: usize = 2;

/// Keys that lie far apart, that differ only in bits that tombstones do not keep, or that are all alike.
#[derive(Clone, Copy, Debug)]
pub enum Spread {
    Well,
    AtTheTop,
    NotAtAll,
}

impl BuildHasher for Spread {
    type Hasher = Hash;

    fn build_hasher(&self) -> Hash {
        Hash(*self, 0)
    }
}

pub struct Hash(Spread, u64);

impl Hasher for Hash {
    fn finish(&self) -> u64 {
        match self.0 {
            Spread::Well => (self.1 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            Spread::AtTheTop => self.1 << 60,
            Spread::NotAtAll => 7,
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.1 = self.1 << 8 | u64::from(byte));
    }
}

/// In seconds, where they are times.
#[derive(Clone, Debug)]
pub struct Choices {
    pub ordering: Ordering,
    pub equal: EqualSource,
    pub forgotten: WhenForgotten,
    pub tombstones: usize,
    pub tombstone_ttl: u64,
    pub spread: Spread,
    pub stripes: usize,
    pub capacity: u64,
    pub weighted: bool,
    pub ttl: Option<u64>,
    pub tti: Option<u64>,
    pub stale: Option<u64>,
    pub fail_safe: bool,
    pub refresh: Option<u64>,
    pub negative: Option<u64>,
    pub timeout: Option<u64>,
    pub background: bool,
    pub serve_old: bool,
    pub versioned_by: bool,
    /// Loads say which version they bring: never, by chance, always.
    pub claims: u64,
    pub counts_reads: bool,
    pub grouped: bool,
}

impl Choices {
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let mut draw = |bound: u64| rng.below(bound);
        let global = draw(2) == 0;
        let versioned_by = draw(8) == 0;
        Choices {
            ordering: if global { Ordering::Global } else { Ordering::PerKey },
            equal: if draw(2) == 0 { EqualSource::Refuse } else { EqualSource::Replace },
            forgotten: if draw(4) == 0 { WhenForgotten::Accept } else { WhenForgotten::Refuse },
            tombstones: [0, 1, 2, 1000][draw(4) as usize],
            tombstone_ttl: [2, 5, 1000][draw(3) as usize],
            // Keys of equal hash share tombstones: what says nothing of its version takes the other's word for its own.
            spread: if versioned_by {
                [Spread::Well, Spread::AtTheTop, Spread::NotAtAll][draw(3) as usize]
            } else {
                Spread::Well
            },
            stripes: [1, 1, 4][draw(3) as usize],
            capacity: [0, 1, 2, 3, 100, 100][draw(6) as usize],
            weighted: draw(3) == 0,
            ttl: [None, None, Some(2)][draw(3) as usize],
            tti: [None, None, Some(2)][draw(3) as usize],
            stale: [None, Some(3)][draw(2) as usize],
            fail_safe: draw(2) == 0,
            refresh: [None, None, Some(2)][draw(3) as usize],
            negative: [None, Some(2)][draw(2) as usize],
            timeout: [None, None, Some(2), Some(4)][draw(4) as usize],
            background: draw(3) == 0,
            serve_old: draw(2) == 0,
            versioned_by,
            claims: if versioned_by { 2 } else { draw(3) },
            counts_reads: draw(2) == 0,
            grouped: draw(2) == 0,
        }
    }

    pub fn build(&self, shared: &Arc<Shared>) -> (Cache<u8, Value, Spread>, MockClock) {
        let (clock, time) = Clock::mock();
        let seconds = Duration::from_secs;
        let mut builder = Cache::builder()
            .hasher(self.spread)
            .max_capacity(self.capacity)
            .stripes(self.stripes)
            .ordering(self.ordering)
            .equal_source(self.equal)
            .when_forgotten(self.forgotten)
            .tombstone_capacity(self.tombstones)
            .tombstone_ttl(seconds(self.tombstone_ttl))
            .while_writing(if self.serve_old { WhileWriting::ServeOld } else { WhileWriting::Miss })
            .clock(clock);
        if self.grouped {
            builder = builder.group_by(|_: &u8, value: &Value| [value.group]);
        }
        if self.weighted {
            builder = builder.weigher(|_, value: &Value| u64::from(value.weight));
        }
        if self.versioned_by {
            builder = builder.versioned_by(|_, value: &Value| value.lsn);
        }
        if let Some(ttl) = self.ttl {
            builder = builder.time_to_live(seconds(ttl));
        }
        if let Some(tti) = self.tti {
            builder = builder.time_to_idle(seconds(tti));
        }
        if let Some(stale) = self.stale {
            builder = builder.serve_stale(seconds(stale));
            builder = if self.fail_safe { builder.fail_safe() } else { builder };
        }
        if let Some(refresh) = self.refresh {
            builder = builder.refresh_after(seconds(refresh));
        }
        if let Some(negative) = self.negative {
            builder = builder.negative_ttl(seconds(negative));
        }
        if let Some(timeout) = self.timeout {
            builder = builder.load_timeout(seconds(timeout));
        }
        if self.background {
            let (spawned, reloaded) = (Arc::clone(shared), Arc::clone(shared));
            builder =
                builder.spawner(move |load: BackgroundLoad| spawned.spawn(load), move |&key: &u8| Loading::new(&reloaded, key));
        }
        (builder.build().expect("these choices go together"), time)
    }
}
