//! Promise 7: keys whose `Eq` and `Hash` lie, in transactions and snapshots. What they are worth nobody can say, but nothing hangs, the books of the
//! cache are right, and every value is dropped once.

mod common;

use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::Mutex;

use brindle::Cache;

use common::Census;
use common::Counted;
use common::Rng;
use common::together;
use common::watched;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lie {
    /// Equal to everything, whatever the hash.
    Always,
    Never,
    /// Now so, now otherwise.
    Anyhow,
    /// Hashes now so, now otherwise.
    Hashes,
    /// Equal where the hashes are not.
    Crossed,
}

const LIES: [Lie; 5] = [Lie::Always, Lie::Never, Lie::Anyhow, Lie::Hashes, Lie::Crossed];

/// Draws its lies, so that a run can be had again.
type Dice = Arc<Mutex<Rng>>;

#[derive(Clone)]
struct Liar {
    id: u64,
    lie: Lie,
    dice: Dice,
}

impl Liar {
    fn draw(&self, bound: u64) -> u64 {
        self.dice.lock().unwrap().below(bound)
    }
}

impl Hash for Liar {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match self.lie {
            Lie::Hashes => hasher.write_u64(self.draw(4)),
            Lie::Never | Lie::Anyhow => hasher.write_u64(self.id % 2),
            Lie::Always => hasher.write_u64(self.id % 3),
            Lie::Crossed => hasher.write_u64(self.id),
        }
    }
}

impl PartialEq for Liar {
    fn eq(&self, other: &Self) -> bool {
        match self.lie {
            Lie::Always => true,
            Lie::Never => false,
            Lie::Anyhow => self.draw(2) == 0,
            Lie::Hashes => self.id == other.id,
            Lie::Crossed => self.id / 2 == other.id / 2,
        }
    }
}

impl Eq for Liar {}

fn any_transaction(cache: &Cache<Liar, Counted>, key: impl Fn(u64) -> Liar, census: &Census, rng: &mut Rng) {
    // Half of them of the plainest changes alone.
    let plain = rng.below(2) == 0;
    let aborted = cache.transaction(|t| {
        for _ in 0..rng.below(20) {
            let (id, value) = (rng.below(12), rng.next());
            match if plain { [0, 99, 99][rng.below(3) as usize] } else { rng.below(9) } {
                0 => t.invalidate(&key(id)),
                1 => drop(t.remove(&key(id))),
                2 => drop(t.get(&key(id))),
                3 if rng.below(4) == 0 => drop(t.read(&key(id))),
                4 => t.insert_at(key(id), census.value(value), value),
                5 => t.invalidate_at(&key(id), value),
                6 if rng.below(4) == 0 => t.compare_and_swap(key(id), None, census.value(value)),
                7 => drop(t.contains_key(&key(id))),
                _ => t.insert(key(id), census.value(value)),
            }
        }
    });
    drop(aborted);
}

#[test]
fn keys_that_lie_break_nothing() {
    watched(|| {
        for lie in LIES {
            for (stripes, capacity) in [(1, 1000), (4, 1000), (2, 5)] {
                let case = format!("{lie:?}, {stripes} stripes, capacity {capacity}");
                let (census, dice) = (Census::default(), Dice::new(Mutex::new(Rng::new(9))));
                let cache: Cache<Liar, Counted> = Cache::builder().stripes(stripes).max_capacity(capacity).build().unwrap();
                let key = |id: u64| Liar { id, lie, dice: Arc::clone(&dice) };
                together(3, |thread| {
                    let mut rng = Rng::new(thread as u64);
                    for _ in 0..150 {
                        any_transaction(&cache, key, &census, &mut rng);
                        let keys: Vec<Liar> = (0..rng.below(12)).map(key).collect();
                        assert_eq!(cache.get_many_snapshot(&keys).len(), keys.len());
                        cache.get_with(&key(rng.below(12)), || census.value(0));
                    }
                });
                let entries: Vec<_> = cache.iter().collect();
                assert_eq!((cache.len(), cache.weight()), (entries.len(), entries.len() as u64), "{case}");
                assert!(cache.weight() <= capacity, "{case}");
                entries.iter().for_each(|entry| _ = entry.id());
                let stats = cache.stats();
                let left = stats.replaced + stats.invalidated + stats.evicted + stats.expired + stats.cleared;
                assert_eq!(stats.inserts, left + entries.len() as u64, "{case}");
                drop(entries);
                drop(cache);
                assert_eq!(census.alive(), 0, "{case}");
            }
        }
    });
}
