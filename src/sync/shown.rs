//! Where lock-free readers may come in between: after each store that they can see. Nothing in the crate; in its own tests a schedule
//! lets others run there.

/// A store that readers without a lock can see has just been made.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn shown() {}

#[cfg(test)]
pub(crate) use self::scheduled::shown;
#[cfg(test)]
pub(crate) use self::scheduled::whenever_shown;

#[cfg(test)]
mod scheduled {
    use std::cell::RefCell;

    type Others<'a> = Box<dyn FnMut() + 'a>;

    thread_local! {
        static OTHERS: RefCell<Option<Others<'static>>> = const { RefCell::new(None) };
    }

    pub(crate) fn shown() {
        // Taken out, so that what runs in between is not interrupted itself.
        let others = OTHERS.with(|others| others.borrow_mut().take());
        if let Some(mut others) = others {
            others();
            OTHERS.with(|place| *place.borrow_mut() = Some(others));
        }
    }

    /// Runs `work` on this thread, and `others` after each store of its that readers can see.
    pub(crate) fn whenever_shown<R>(others: impl FnMut() + 'static, work: impl FnOnce() -> R) -> R {
        OTHERS.with(|place| *place.borrow_mut() = Some(Box::new(others)));
        let result = work();
        OTHERS.with(|place| place.borrow_mut().take());
        result
    }
}
