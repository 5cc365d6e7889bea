//! Review: every async call's future is Send; a stress of failing leases that are overdue.
mod common;
use brindle::*;
use common::executor::Task;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::thread;
use std::time::Duration;

fn send<T>(future: impl Future<Output = T> + Send) {
    drop(future);
}
fn send_sync_static<T: Send + Sync + 'static>() {}
fn send_static<T>(future: impl Future<Output = T> + Send + 'static) {
    drop(future);
}

#[test]
fn futures_are_send() {
    let cache: Cache<String, Vec<u8>> = Cache::new(10);
    let key: &str = "k";
    send(cache.get_with_async(key, async { vec![] }));
    send(cache.try_get_with_async(key, async { Ok::<_, String>(vec![]) }));
    send(cache.load_async(key, async { Ok::<_, String>(Loaded::new(vec![])) }));
    send(cache.refresh_async(key, async { vec![] }));
    send(cache.try_refresh_async(key, async { Ok::<_, String>(vec![]) }));
    send(cache.reload_async(key, async { Ok::<_, String>(Loaded::new(vec![])) }));
    send(cache.get_or_lease_async(key));
    send(cache.try_get_many_with_async(["a", "b"], |keys| async move {
        Ok::<_, String>(keys.into_iter().map(|key| (key, vec![])).collect::<Vec<_>>())
    }));
    let owned = vec![String::from("a")];
    send(cache.try_get_many_with_async(&owned, |_| async { Ok::<_, String>([(String::from("a"), Loaded::new(vec![1_u8]))]) }));
    // an iterator that is not Send, of keys that are
    let rc = std::rc::Rc::new(vec![String::from("a")]);
    let refs: Vec<&str> = rc.iter().map(String::as_str).collect();
    let _ = refs;
    send_sync_static::<Lease<String, Vec<u8>>>();
    send_sync_static::<Leased<String, Vec<u8>>>();
    send_sync_static::<Failure>();
    send_sync_static::<LoadError<String>>();
    send_sync_static::<Unfilled<Vec<u8>>>();
    let moved = cache.clone();
    send_static(async move { moved.get_with_async("k", async { vec![] }).await });
    let moved = cache.clone();
    send_static(async move {
        moved.try_get_many_with_async(["a"], |_| async { Ok::<_, String>(Vec::<(String, Vec<u8>)>::new()) }).await
    });
    // E: Send + Sync where V is Arc<dyn>
    let dynamic: Cache<Arc<str>, Arc<dyn Fn() -> u8 + Send + Sync>> = Cache::new(10);
    let key: Arc<str> = "k".into();
    send(dynamic.get_with_async(&key, async { Arc::new(|| 1_u8) as Arc<dyn Fn() -> u8 + Send + Sync> }));
    // local futures still compile
    let rc = std::rc::Rc::new(1_u8);
    let local = cache.get_with_async("k", async { vec![*rc] });
    drop(local);
}

/// A lease that is overdue fails while a waiter takes it over.
#[test]
fn fail_against_takeover() {
    let (clock, hand) = Clock::mock();
    let cache: Cache<u64, u64> = Cache::builder()
        .stripes(1)
        .max_capacity(100)
        .clock(clock)
        .load_timeout(Duration::from_secs(10))
        .negative_ttl(Duration::from_secs(1))
        .build()
        .unwrap();
    let turn = Arc::new(AtomicUsize::new(0));
    let rounds = 200_000;
    let mut lost = 0;
    let (give, take) = std::sync::mpsc::sync_channel::<(u64, Lease<u64, u64>)>(0);
    let (ready, go) = (Arc::clone(&turn), Arc::clone(&turn));
    let failing = thread::spawn(move || {
        for (round, lease) in take {
            ready.store(round as usize * 2 + 1, SeqCst);
            for _ in 0..round % 97 {
                std::hint::spin_loop();
            }
            lease.fail("down");
        }
    });
    for round in 0..rounds {
        let key = 1;
        let Leased::Lease(lease) = cache.get_or_lease(&key, None) else { panic!("round {round}") };
        let mut waiter = Task::new(cache.get_or_lease_async(&key));
        waiter.pends();
        hand.advance(Duration::from_secs(11));
        give.send((round, lease)).unwrap();
        while go.load(SeqCst) < round as usize * 2 + 1 {
            std::hint::spin_loop();
        }
        for _ in 0..round % 31 {
            std::hint::spin_loop();
        }
        match waiter.poll() {
            Poll::Ready(Leased::Lease(second)) => {
                // Led by us now. Is what the cache knows of it consistent?
                second.fail("down too");
                let stats = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cache.stats().flights));
                match stats {
                    Ok(flights) if flights <= 1 => {}
                    other => {
                        lost += 1;
                        println!("round {round}: flights {other:?}");
                        break;
                    }
                }
            }
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => {}
        }
        cache.invalidate(&key);
    }
    drop(give);
    failing.join().unwrap();
    assert_eq!(lost, 0);
}
