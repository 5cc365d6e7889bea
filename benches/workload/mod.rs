//! What every measurement runs, and on what: the same keys, operations and checks for all.

#![allow(dead_code, unused_imports, reason = "each measurement includes all of this and uses its part")]
#![allow(unreachable_pub, reason = "this is private in some crates that include it, and public in others")]

mod brindle;
mod keys;
mod play;
mod race;
mod scenario;
mod stampede;
mod tally;
mod target;
mod value;

pub use self::keys::*;
pub use self::play::*;
pub use self::race::*;
pub use self::scenario::*;
pub use self::stampede::*;
pub use self::tally::*;
pub use self::target::*;
pub use self::value::*;
