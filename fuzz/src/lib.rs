//! What the fuzz targets do. A target itself, in `fuzz_targets`, only hands its input on; here is what it means, and what must be true of it.

use std::hash::{BuildHasherDefault, DefaultHasher};

pub mod behind;
pub mod events;
/// The tests', for tasks that are polled by hand.
#[path = "../../tests/common/executor.rs"]
pub mod executor;
pub mod expiry;
pub mod input;
pub mod interleave;
pub mod ops;
pub mod policy;
mod time;
pub mod tracked;

/// The same in every run, so that what fails fails again.
pub type Hasher = BuildHasherDefault<DefaultHasher>;
