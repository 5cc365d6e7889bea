//! Faults on purpose: user code that panics at its n-th call, in every call of the cache's face, and what must hold after it.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of it")]

pub mod acts;
#[cfg(feature = "write-behind")]
pub mod behind;
pub mod bell;
pub mod loads;
pub mod stage;
pub mod tasks;
pub mod world;
