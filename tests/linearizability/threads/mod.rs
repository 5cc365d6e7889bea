//! What runs the threads of a history: the computer, or shuttle, which draws their schedule and can draw it again.

#[cfg(not(brindle_shuttle))]
mod native;
#[cfg(brindle_shuttle)]
mod shuttle;

#[cfg(not(brindle_shuttle))]
pub use self::native::*;
#[cfg(brindle_shuttle)]
pub use self::shuttle::*;
