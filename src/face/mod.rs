//! The calls that may wait, for threads and for tasks. What the two have in common is in `call`: each face runs its steps, runs the
//! loader or sleeps in its own way, and goes on from there.

mod background;
mod blocking;
mod call;
mod future;
mod many;
mod timer;
mod write_through;

pub use self::background::BackgroundLoad;
pub use self::call::Leased;
#[cfg(feature = "write-behind")]
pub(crate) use self::timer::Timer;
