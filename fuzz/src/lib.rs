//! What the fuzz targets do. A target itself, in `fuzz_targets`, only hands its input on; here is what it means, and what must be true of it.

use std::hash::{BuildHasherDefault, DefaultHasher};

pub mod events;
pub mod input;
pub mod ops;
pub mod policy;
pub mod tracked;

/// The same in every run, so that what fails fails again.
pub type Hasher = BuildHasherDefault<DefaultHasher>;
