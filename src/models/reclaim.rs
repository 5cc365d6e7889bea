//! Several who reclaim, and one barrier for several stripes.

use super::trial::HERE;
use super::trial::THERE;
use super::trial::cache;
use super::trial::explore;
use super::trial::roomy;
use super::trial::spawn;
use super::watched::Watched;

#[test]
fn two_reclaim_what_a_third_reads() {
    explore(|| {
        let cache = cache(4);
        cache.insert(1, 10);
        let writers: Vec<_> = [11, 12]
            .map(|value| {
                let cache = cache.clone();
                spawn(move || {
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
        let writer = {
            let cache = cache.clone();
            spawn(move || {
                (0..2).for_each(|_| {
                    cache.insert(HERE | 1, Watched::unseen());
                });
            })
        };
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
        let writer = {
            let cache = cache.clone();
            spawn(move || {
                cache.insert(HERE | 1, Watched::unseen());
            })
        };
        let reclaimer = {
            let cache = cache.clone();
            spawn(move || cache.reclaim())
        };
        cache.with(&(HERE | 1), Watched::look);
        writer.join().unwrap();
        reclaimer.join().unwrap();
    });
}
