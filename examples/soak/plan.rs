//! The choices of one epoch, drawn from its seed.

use std::time::Duration;

use brindle::EqualSource;
use brindle::Expiry;
use brindle::Ordering;
use brindle::WhileWriting;

use crate::common::random::Random;
use crate::common::random::mix;
use crate::row::DISTRICTS;
use crate::row::MEAN_WEIGHT;
use crate::row::Row;
use crate::row::SIBLINGS;

/// Longer than any epoch: how late a change may be is not what is tested.
const TOMBSTONE_TTL: Duration = Duration::from_secs(3600);
const MOST_KEYS: usize = 6000;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) keys: u64,
    pub(crate) skew: f64,
    pub(crate) capacity: u64,
    pub(crate) stripes: Option<usize>,
    pub(crate) weigher: bool,
    pub(crate) time_to_live: Option<Duration>,
    pub(crate) time_to_idle: Option<Duration>,
    pub(crate) expiry: bool,
    pub(crate) listener: bool,
    pub(crate) listener_panics: bool,
    pub(crate) versioned_by: bool,
    pub(crate) group_by: bool,
    pub(crate) ordering: Ordering,
    pub(crate) equal_source: EqualSource,
    pub(crate) tombstones: usize,
    pub(crate) load_timeout: Option<Duration>,
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) serve_stale: Option<Duration>,
    pub(crate) fail_safe: bool,
    pub(crate) refresh_after: Option<Duration>,
    pub(crate) early_refresh: Option<f64>,
    pub(crate) spawner: bool,
    pub(crate) while_writing: WhileWriting,
    pub(crate) mock_clock: bool,
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let random = &mut Random::new(seed, 0);
        let sets = 10 + random.below(MOST_KEYS / (DISTRICTS * SIBLINGS) as usize);
        // Few keys, on which all threads meet, as often as many.
        let sets = if one_in(random, 2) { 1 + sets % 10 } else { sets };
        let keys = sets as u64 * DISTRICTS * SIBLINGS;
        let weigher = one_in(random, 2);
        let entries = 1 + keys / 8 + random.below(keys as usize * 2) as u64;
        let serve_stale = maybe(random, 3, |random| millis(random, 1, 500));
        Self {
            seed,
            time: millis(random, 800, 2200),
            keys,
            skew: random.below(120) as f64 / 100.0,
            capacity: if weigher { entries * MEAN_WEIGHT } else { entries },
            stripes: maybe(random, 2, |random| 1 << random.below(7)),
            weigher,
            time_to_live: maybe(random, 3, |random| millis(random, 1, 300)),
            time_to_idle: maybe(random, 4, |random| millis(random, 1, 100)),
            expiry: one_in(random, 4),
            listener: one_in(random, 2),
            listener_panics: one_in(random, 3),
            versioned_by: one_in(random, 5),
            group_by: one_in(random, 3),
            ordering: if one_in(random, 2) { Ordering::Global } else { Ordering::PerKey },
            equal_source: if one_in(random, 4) { EqualSource::Replace } else { EqualSource::Refuse },
            tombstones: [0, 16, 1000, 65_536][random.below(4)],
            load_timeout: maybe(random, 3, |random| millis(random, 5, 50)),
            negative_ttl: maybe(random, 4, |random| millis(random, 1, 20)),
            serve_stale,
            fail_safe: serve_stale.is_some() && one_in(random, 2),
            refresh_after: maybe(random, 4, |random| millis(random, 1, 100)),
            early_refresh: maybe(random, 5, |random| random.below(30) as f64 / 10.0),
            spawner: one_in(random, 3),
            while_writing: if one_in(random, 2) { WhileWriting::Miss } else { WhileWriting::ServeOld },
            mock_clock: one_in(random, 4),
        }
    }

    /// Leases are lost, and come back late, where others can take over meanwhile: where they end by a time that goes on by itself.
    pub(crate) fn loses_leases(&self) -> bool {
        self.load_timeout.is_some() && !self.mock_clock
    }

    /// The choices that are plain data.
    pub(crate) fn builder(&self) -> brindle::Builder<u64, Row> {
        let mut builder = brindle::Cache::builder()
            .name(format!("seed {}", self.seed))
            .max_capacity(self.capacity)
            .ordering(self.ordering)
            .equal_source(self.equal_source)
            .tombstone_capacity(self.tombstones)
            .tombstone_ttl(TOMBSTONE_TTL)
            .while_writing(self.while_writing);
        builder = chosen(builder, self.stripes, brindle::Builder::stripes);
        builder = chosen(builder, self.time_to_live, brindle::Builder::time_to_live);
        builder = chosen(builder, self.time_to_idle, brindle::Builder::time_to_idle);
        builder = chosen(builder, self.load_timeout, brindle::Builder::load_timeout);
        builder = chosen(builder, self.negative_ttl, brindle::Builder::negative_ttl);
        builder = chosen(builder, self.serve_stale, brindle::Builder::serve_stale);
        builder = chosen(builder, self.refresh_after, brindle::Builder::refresh_after);
        builder = chosen(builder, self.early_refresh, brindle::Builder::early_refresh);
        builder = chosen(builder, self.fail_safe.then_some(()), |builder, ()| builder.fail_safe());
        builder = chosen(builder, self.weigher.then_some(()), |builder, ()| builder.weigher(|_, row: &Row| row.weight()));
        builder = chosen(builder, self.versioned_by.then_some(()), |builder, ()| builder.versioned_by(|_, row: &Row| row.stamp));
        chosen(builder, self.expiry.then_some(()), |builder, ()| builder.expire_after(AsTheStampSays))
    }
}

/// Applies a choice that was made.
pub(crate) fn chosen<B, T>(builder: B, choice: Option<T>, apply: impl FnOnce(B, T) -> B) -> B {
    match choice {
        Some(choice) => apply(builder, choice),
        None => builder,
    }
}

fn one_in(random: &mut Random, many: usize) -> bool {
    random.below(many) == 0
}

fn maybe<T>(random: &mut Random, one_in_many: usize, draw: impl FnOnce(&mut Random) -> T) -> Option<T> {
    one_in(random, one_in_many).then(|| draw(random))
}

fn millis(random: &mut Random, least: usize, more: usize) -> Duration {
    Duration::from_millis((least + random.below(more)) as u64)
}

/// A life of its own for each value.
struct AsTheStampSays;

impl Expiry<u64, Row> for AsTheStampSays {
    fn after_create(&self, _key: &u64, row: &Row) -> Option<Duration> {
        match mix(row.stamp) % 4 {
            0 => None,
            drawn => Some(Duration::from_millis(drawn * drawn * 10)),
        }
    }

    fn after_update(&self, key: &u64, row: &Row, remaining: Option<Duration>) -> Option<Duration> {
        if row.stamp.is_multiple_of(2) { remaining } else { self.after_create(key, row) }
    }

    fn after_read(&self, _key: &u64, row: &Row, remaining: Option<Duration>) -> Option<Duration> {
        match row.stamp % 5 {
            0 => remaining.map(|remaining| remaining / 2),
            1 => remaining.map(|remaining| remaining + Duration::from_millis(1)),
            _ => remaining,
        }
    }
}
