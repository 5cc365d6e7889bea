//! Review: tokio's timers.
#![cfg(feature = "tokio")]
use brindle::*;
use std::time::Duration;

#[test]
fn a_runtime_without_time() {
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(10).load_timeout(Duration::from_millis(200)).build().unwrap();
    let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let waiting = cache.get_with_async(&1, async { 2 });
    assert_eq!(runtime.block_on(waiting), 2);
    drop(lease);
}
