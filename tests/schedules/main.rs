//! Random schedules of the whole public face. `RUSTFLAGS="--cfg brindle_shuttle" cargo test --release --test schedules`
#![cfg(brindle_shuttle)]

use brindle::Cache;
use brindle::Clock;
use shuttle::thread;

#[test]
fn trial() {
    let t = std::time::Instant::now();
    shuttle::check_random(
        || {
            let cache: Cache<u64, u64> = Cache::builder().max_capacity(4).stripes(2).clock(Clock::mock().0).build().unwrap();
            let threads: Vec<_> = (0..3)
                .map(|n| {
                    let cache = cache.clone();
                    thread::spawn(move || {
                        for k in 0..4 {
                            cache.insert(k, n);
                            cache.get(&(k ^ 1));
                            cache.get_with(&(k + 8), || k);
                            cache.invalidate(&(k + 8));
                            shuttle::future::block_on(cache.get_with_async(&(k + 9), async move { k }));
                        }
                        cache.reclaim();
                    })
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().unwrap());
        },
        1000,
    );
    println!("{:?}", t.elapsed());
}
