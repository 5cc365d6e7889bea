//! A hand-polled executor: no task moves unless the test polls it, so a test says who comes first. And a `block_on` for threads.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Context;
use std::task::Poll;
use std::task::Wake;
use std::task::Waker;
use std::thread;
use std::thread::Thread;

/// A future whose type does not matter: for tables of faces.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How often a task was woken.
#[derive(Default)]
pub struct Wakes(AtomicUsize);

impl Wakes {
    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A future and the count of its wakes. Dropping the task drops the future, at whatever await point it stands: before its first poll too.
pub struct Task<F> {
    future: Option<Pin<Box<F>>>,
    wakes: Arc<Wakes>,
    waker: Waker,
    /// Wakes that the last poll knew of.
    seen: usize,
}

impl<F: Future> Task<F> {
    pub fn new(future: F) -> Self {
        let wakes = Arc::new(Wakes::default());
        Task { future: Some(Box::pin(future)), waker: Waker::from(Arc::clone(&wakes)), wakes, seen: 0 }
    }

    /// Polls once. A future that has its end is dropped at once, as by `.await`.
    pub fn poll(&mut self) -> Poll<F::Output> {
        self.seen = self.wakes.count();
        let future = self.future.as_mut().expect("polled after its end");
        let polled = future.as_mut().poll(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }

    /// Polls once, and must not be at its end.
    #[track_caller]
    pub fn pends(&mut self) {
        assert!(self.poll().is_pending(), "the task has its end already");
    }

    /// Polls once, and must be at its end.
    #[track_caller]
    pub fn ends(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the task is not at its end (woken {} times)", self.wakes.count()),
        }
    }

    /// Was it woken since its last poll?
    pub fn is_woken(&self) -> bool {
        self.wakes.count() > self.seen
    }

    pub fn is_over(&self) -> bool {
        self.future.is_none()
    }

    /// A waker of this task, to count what is left of it, for example.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }
}

/// Polls a task whenever it was woken, and no other, until none is woken. Gives how many are at their end.
pub fn run_woken<F: Future>(tasks: &mut [Task<F>], mut ended: impl FnMut(usize, F::Output)) -> usize {
    loop {
        let mut moved = false;
        for (number, task) in tasks.iter_mut().enumerate() {
            if task.is_over() || !task.is_woken() {
                continue;
            }
            moved = true;
            if let Poll::Ready(output) = task.poll() {
                ended(number, output);
            }
        }
        if !moved {
            return tasks.iter().filter(|task| task.is_over()).count();
        }
    }
}

/// The flag says what the thread is woken for: what it polls may park, and be unparked, too.
struct Parked(Thread, AtomicBool);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.1.store(true, SeqCst);
        self.0.unpark();
    }
}

/// Runs a future on this thread to its end; parks while it pends.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let parked = Arc::new(Parked(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&parked));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        while !parked.1.swap(false, SeqCst) {
            thread::park();
        }
    }
}

/// Pends once, and wakes itself: an await point.
pub fn step() -> Step {
    Step(false)
}

pub struct Step(bool);

impl Future for Step {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

struct Slot<T> {
    value: Option<T>,
    waiting: Option<Waker>,
    closed: bool,
}

pub struct Sender<T>(Arc<Mutex<Slot<T>>>);

/// Awaits what the sender sends. Panics if the sender was dropped without a word.
pub struct Receiver<T>(Arc<Mutex<Slot<T>>>);

pub fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(Mutex::new(Slot { value: None, waiting: None, closed: false }));
    (Sender(Arc::clone(&slot)), Receiver(slot))
}

impl<T> Sender<T> {
    pub fn send(self, value: T) {
        self.0.lock().unwrap().value = Some(value);
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let Ok(mut slot) = self.0.lock() else { return };
        slot.closed = true;
        let waiting = slot.waiting.take();
        drop(slot);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// Blocks this thread.
    pub fn wait(self) -> T {
        block_on(self)
    }
}

impl<T> Future for Receiver<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.0.lock().unwrap();
        if let Some(value) = slot.value.take() {
            return Poll::Ready(value);
        }
        let closed = slot.closed;
        slot.waiting = Some(context.waker().clone());
        drop(slot);
        assert!(!closed, "the sender is gone");
        Poll::Pending
    }
}
