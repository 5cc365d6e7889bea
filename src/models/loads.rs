//! Loads against what fences them.

use loom::thread;

use crate::sync::Broken;

use super::trial::cache;
use super::trial::explore;
use super::trial::misses;

#[test]
fn a_load_beside_a_write() {
    explore(|| {
        let cache = cache(4);
        let loader = {
            let cache = cache.clone();
            thread::spawn(move || cache.get_with(&1, || 10))
        };
        cache.insert(1, 11);
        assert_eq!(cache.get(&1), Some(11));
        assert!(matches!(loader.join().unwrap(), 10 | 11));
        assert_eq!(cache.get(&1), Some(11));
    });
}

#[test]
fn it_misses_the_fence() {
    misses("loads::a_load_beside_a_write", Broken::Fence);
}
