//! A thread that runs the loads which the cache starts by itself; some it drops.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::task::Context;
use std::task::Waker;
use std::thread;
use std::thread::JoinHandle;

use brindle::BackgroundLoad;
use brindle::Builder;

use crate::common::random::Random;
use crate::fences::Since;
use crate::row::Row;
use crate::source::Fate;
use crate::source::planned;
use crate::truth::Truth;

pub(crate) struct Background {
    waiting: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Background {
    /// Starts the thread, which ends when the cache is gone, and gives it to the cache.
    pub(crate) fn start(builder: Builder<u64, Row>, truth: &Arc<Truth>, seed: u64) -> (Builder<u64, Row>, Self) {
        let (sender, receiver) = channel();
        let waiting = Arc::new(AtomicU64::new(0));
        let thread = {
            let waiting = Arc::clone(&waiting);
            thread::spawn(move || run(&receiver, &waiting, &mut Random::new(seed, 1)))
        };
        let builder = given(builder, sender, Arc::clone(&waiting), Arc::clone(truth), seed);
        (builder, Self { waiting, thread })
    }

    /// Is nothing left to run?
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// Waits for its end; says whether it came by a panic.
    pub(crate) fn join(self) -> bool {
        self.thread.join().is_err()
    }
}

fn given(
    builder: Builder<u64, Row>,
    sender: Sender<BackgroundLoad>,
    waiting: Arc<AtomicU64>,
    truth: Arc<Truth>,
    seed: u64,
) -> Builder<u64, Row> {
    let spawn = move |load| {
        waiting.fetch_add(1, Ordering::SeqCst);
        if sender.send(load).is_err() {
            waiting.fetch_sub(1, Ordering::SeqCst);
        }
    };
    let drawn = AtomicU64::new(seed);
    builder.spawner(spawn, move |&key| {
        let fate = Fate::draw(&mut Random::new(drawn.fetch_add(1, Ordering::Relaxed), 2));
        let truth = Arc::clone(&truth);
        async move { truth.load_as_task(key, Since::UNKNOWN, fate).await }
    })
}

fn run(loads: &Receiver<BackgroundLoad>, waiting: &AtomicU64, random: &mut Random) {
    for mut load in loads {
        let polls = if random.below(10) == 0 { random.below(4) } else { usize::MAX };
        // A planned panic ends it as any other.
        planned(|| {
            // The source's tasks are always ready for more, so nobody needs to be woken.
            let mut context = Context::from_waker(Waker::noop());
            _ = (0..polls).any(|_| load.as_mut().poll(&mut context).is_ready());
        });
        drop(load);
        waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
