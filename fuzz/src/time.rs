//! The crate's own rooms of time, of which its users see nothing, where they look for each other.

#![allow(dead_code, reason = "the crate uses all of it, but not through what is used here")]

#[path = "../../src/time/deadline.rs"]
pub(crate) mod deadline;
#[path = "../../src/time/wheel.rs"]
pub(crate) mod wheel;
