//! Which sinks the running thread is inside of: whoever is must not wait for one of them.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::sync::thread_local;

thread_local! {
    /// The addresses of their desks. A thread that is being torn down does not know.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The thread is inside until this is dropped, which it must be there, and in the order of a stack.
pub(super) struct Inside(PhantomData<*const ()>);

pub(super) fn enter(desk: usize) -> Inside {
    let _ = INSIDE.try_with(|inside| inside.borrow_mut().push(desk));
    Inside(PhantomData)
}

pub(super) fn is_inside(desk: usize) -> bool {
    INSIDE.try_with(|inside| inside.borrow().contains(&desk)).unwrap_or(false)
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = INSIDE.try_with(|inside| inside.borrow_mut().pop());
    }
}
