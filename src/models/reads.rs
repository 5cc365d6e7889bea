//! Reads without a lock against writers and reclamation.

use loom::thread;

use crate::sync::Broken;

use super::trial::cache;
use super::trial::explore;
use super::trial::misses;

#[test]
fn a_read_beside_the_reclamation_of_what_it_reads() {
    explore(|| {
        let cache = cache(4);
        cache.insert(1, 10);
        let writer = {
            let cache = cache.clone();
            thread::spawn(move || {
                cache.insert(1, 11);
                cache.reclaim();
                // In the node that was freed.
                cache.insert(2, 20);
            })
        };
        assert!(matches!(cache.get(&1), Some(10 | 11)));
        writer.join().unwrap();
        assert_eq!(cache.get(&1), Some(11));
    });
}

#[test]
fn it_misses_the_barrier() {
    misses("reads::a_read_beside_the_reclamation_of_what_it_reads", Broken::HeavyBarrier);
}
