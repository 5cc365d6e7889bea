//! How long watchdogs wait. `PATIENCE=4` before a command makes it four times as long: for a sanitizer, for a machine with too much to do.

use std::env;
use std::time::Duration;

/// So long, or as many times as long as the environment says.
pub fn patient(limit: Duration) -> Duration {
    let times = env::var("PATIENCE").map_or(1, |times| times.parse().expect("PATIENCE is a whole number"));
    limit * times
}
