//! Promise 7 among threads: a lease that is overdue fails in the moment in which a waiter takes the load over. Only one of them may end the
//! flight.

mod common;

use std::hint;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::sync_channel;
use std::task::Poll;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use brindle::Cache;
use brindle::Clock;
use brindle::Lease;
use brindle::Leased;

use common::executor::Task;
use common::watched;

const ROUNDS: u64 = 50_000;
/// Where another has the processor, each round takes as long as he has it: then fewer will do.
const ENOUGH: Duration = Duration::from_secs(20);

fn spin(turns: u64) {
    (0..turns).for_each(|_| hint::spin_loop());
}

/// Lets the leases fail that it is given, each a little later than it says.
fn fail_all(leases: Receiver<(u64, Lease<u64, u64>)>, begun: &AtomicU64) {
    for (round, lease) in leases {
        begun.store(round, SeqCst);
        spin(round % 97);
        lease.fail("down");
    }
}

/// The waiter's turn, in the moment in which the lease fails. With a negative time to live a flight may stay, to remember the failure.
fn take_over(cache: &Cache<u64, u64>, waiter: &mut Task<impl Future<Output = Leased<u64, u64>>>, round: u64) {
    match waiter.poll() {
        Poll::Ready(Leased::Lease(second)) => {
            second.fail("down too");
            let flights = cache.stats().flights;
            assert!(flights <= 1, "round {round}: {flights} flights");
        }
        Poll::Ready(other) => panic!("round {round}: {other:?}"),
        Poll::Pending => {}
    }
}

#[test]
fn an_overdue_lease_that_fails_and_its_successor_do_not_both_end_the_flight() {
    watched(|| {
        let (clock, hand) = Clock::mock();
        let builder = Cache::builder().stripes(1).max_capacity(100).clock(clock);
        let builder = builder.load_timeout(Duration::from_secs(10)).negative_ttl(Duration::from_secs(1));
        let cache: Cache<u64, u64> = builder.build().unwrap();
        let begun = Arc::new(AtomicU64::new(0));
        let (give, leases) = sync_channel(0);
        let there = Arc::clone(&begun);
        let failing = thread::spawn(move || fail_all(leases, &there));
        let start = Instant::now();
        for round in (1..=ROUNDS).take_while(|_| start.elapsed() < ENOUGH) {
            let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!("round {round}: no lease") };
            let mut waiter = Task::new(cache.get_or_lease_async(&1));
            waiter.pends();
            hand.advance(Duration::from_secs(11));
            give.send((round, lease)).unwrap();
            while begun.load(SeqCst) < round {
                hint::spin_loop();
            }
            spin(round % 31);
            take_over(&cache, &mut waiter, round);
            cache.invalidate(&1);
        }
        drop(give);
        failing.join().unwrap();
    });
}
