//! Loads of tasks: they share flights with threads, may be dropped at any poll, and move from one executor to another.

use std::future::Future;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use shuttle::future::block_on;
use shuttle::future::spawn;
use shuttle::future::yield_now;
use shuttle::thread;

use super::loads::ENDS;
use super::loads::load_beside;
use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::Room;
use super::stage::Source;
use super::stage::both;
use super::stage::check_idle;
use super::stage::one_of;
use super::stage::patiently;
use super::stage::plain;
use super::stage::three;

#[test]
fn tasks_and_threads_share_one_load() {
    play(|| {
        let (cache, loader) = (plain(4), Room::new());
        let load = async |own| {
            yield_now().await;
            loader.alone(|| own)
        };
        let (one, two, three) = three(
            || block_on(cache.get_with_async(&KEY, load(1))),
            || block_on(cache.try_get_with_async(&KEY, async { Ok::<_, ()>(load(2).await) })).unwrap(),
            || cache.get_with(&KEY, || loader.alone(|| 3)),
        );
        assert_eq!(loader.entered(), 1);
        assert_eq!((one, two), (three, three));
        check_idle(&cache);
    });
}

#[test]
fn nothing_from_before_an_invalidation_reaches_a_later_task() {
    load_beside(ENDS, |cache, source| {
        block_on(cache.get_with_async(&KEY, async {
            let state = source.read();
            yield_now().await;
            state
        }))
    });
}

#[test]
fn a_load_that_is_dropped_is_taken_over() {
    play(|| {
        let (cache, loader) = (plain(4), Room::new());
        let give_up = || {
            let polls = *one_of(&[1, 2, 3]);
            block_on(patiently(
                polls,
                cache.get_with_async(&KEY, async {
                    yield_now().await;
                    yield_now().await;
                    1
                }),
            ))
        };
        let load = || block_on(cache.get_with_async(&KEY, async { loader.alone(|| 2) }));
        let (gave_up, one, two) = three(give_up, load, || cache.get_with(&KEY, || loader.alone(|| 2)));
        assert!(matches!(gave_up, None | Some(1 | 2)));
        assert_eq!(one, two, "one of them took over, and the other waited for him");
        assert!(loader.entered() <= 1);
        assert_eq!(cache.get(&KEY), Some(one));
        check_idle(&cache);
    });
}

#[test]
fn who_leaves_as_he_is_called_calls_the_next() {
    play(|| {
        let cache = plain(4);
        // One leads and gives up, one waits and gives up, one stays.
        let lead = || {
            block_on(patiently(
                2,
                cache.get_with_async(&KEY, async {
                    yield_now().await;
                    yield_now().await;
                    yield_now().await;
                    1
                }),
            ))
        };
        let leave = || block_on(patiently(*one_of(&[1, 2]), cache.get_with_async(&KEY, async { 2 })));
        let stay = || block_on(cache.get_with_async(&KEY, async { 3 }));
        let (_, _, stayed) = three(lead, leave, stay);
        assert!(matches!(stayed, 1..=3));
        check_idle(&cache);
    });
}

#[test]
fn tasks_that_are_aborted_leave_nothing_behind() {
    play(|| {
        let cache = plain(4);
        let load = |value| {
            let cache = cache.clone();
            spawn(async move {
                let load = async {
                    yield_now().await;
                    value
                };
                cache.get_with_async(&KEY, load).await
            })
        };
        let (one, two, three) = (load(1), load(2), load(3));
        one.abort();
        two.abort();
        let got = block_on(three).unwrap();
        let _ = (block_on(one), block_on(two));
        assert_eq!(cache.get(&KEY), Some(got));
        check_idle(&cache);
    });
}

#[test]
fn a_task_that_moves_is_woken_where_it_is() {
    play(|| {
        let cache = plain(4);
        let mut waiting: Pin<Box<dyn Future<Output = u64> + Send + '_>> = Box::pin(cache.get_with_async(&KEY, async { 2 }));
        let lead = || cache.get_with(&KEY, || Source::new(1).read_slowly());
        let wait = || {
            // Polled once by this thread, to its end by another.
            let first = block_on(poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))));
            match first {
                Poll::Ready(value) => value,
                Poll::Pending => thread::scope(|scope| scope.spawn(|| block_on(waiting)).join().unwrap()),
            }
        };
        let (led, waited) = both(lead, wait);
        assert_eq!(led, waited);
        check_idle(&cache);
    });
}

#[test]
fn one_task_waits_for_two_loads_at_once() {
    play(|| {
        let (cache, loader) = (plain(4), Room::new());
        let load = |keys: Vec<u64>| async {
            yield_now().await;
            Ok::<_, ()>(keys.into_iter().map(|key| (key, loader.alone(|| key))).collect::<Vec<_>>())
        };
        let (many, near, far) = three(
            || block_on(cache.try_get_many_with_async([&KEY, &FAR], load)).unwrap(),
            || cache.get_with(&KEY, || KEY),
            || block_on(cache.get_with_async(&FAR, async { FAR })),
        );
        assert_eq!(many, [Some(KEY), Some(FAR)]);
        assert_eq!((near, far), (KEY, FAR));
        check_idle(&cache);
    });
}

#[test]
fn many_keys_of_a_task_that_gives_up_go_to_others() {
    play(|| {
        let cache = plain(4);
        let give_up = || {
            let load = |keys: Vec<u64>| async {
                yield_now().await;
                yield_now().await;
                Ok::<_, ()>(keys.into_iter().map(|key| (key, key)).collect::<Vec<_>>())
            };
            block_on(patiently(*one_of(&[1, 2]), cache.try_get_many_with_async([&KEY, &FAR], load)));
        };
        let ((), near, far) = three(give_up, || cache.get_with(&KEY, || KEY), || cache.get_with(&FAR, || FAR));
        assert_eq!((near, far), (KEY, FAR));
        check_idle(&cache);
    });
}
