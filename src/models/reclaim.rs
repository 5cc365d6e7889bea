//! Several who reclaim, and one barrier for several stripes.

use super::trial::HERE;
use super::trial::THERE;
use super::trial::beside;
use super::trial::cache;
use super::trial::explore;
use super::trial::roomy;
use super::watched::Watched;

#[test]
fn two_reclaim_what_a_third_reads() {
    explore(|| {
        let cache = cache(4);
        cache.insert(1, 10);
        let writers: Vec<_> = [11, 12]
            .map(|value| {
                beside(&cache, move |cache| {
                    cache.insert(1, value);
                    cache.reclaim();
                })
            })
            .into();
        assert!(matches!(cache.get(&1), Some(10..=12)));
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}

/// A batch is two entries here: whoever retires the second reclaims, and nobody calls for it.
#[test]
fn writers_reclaim_by_themselves() {
    explore(|| {
        let cache = roomy();
        let (first, witness) = Watched::new();
        cache.insert(HERE | 1, first);
        let writer = beside(&cache, |cache| {
            (0..2).for_each(|_| {
                cache.insert(HERE | 1, Watched::unseen());
            });
        });
        cache.with(&(HERE | 1), Watched::look);
        writer.join().unwrap();
        cache.reclaim();
        assert!(witness.is_dropped());
    });
}

/// What a stripe retires after the barrier was passed for another one is not reclaimed with it.
#[test]
fn a_barrier_for_two_stripes() {
    explore(|| {
        let cache = roomy();
        cache.insert(HERE | 1, Watched::unseen());
        cache.insert(THERE | 1, Watched::unseen());
        cache.insert(THERE | 1, Watched::unseen());
        let writer = beside(&cache, |cache| {
            cache.insert(HERE | 1, Watched::unseen());
        });
        let reclaimer = beside(&cache, |cache| cache.reclaim());
        cache.with(&(HERE | 1), Watched::look);
        writer.join().unwrap();
        reclaimer.join().unwrap();
    });
}
