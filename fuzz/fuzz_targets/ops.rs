//! A byte string becomes calls on a cache, and a plain model of it is asked after each whether the answer was right.
//!
//! `mkdir -p fuzz/corpus/ops && RUSTC_BOOTSTRAP=1 cargo fuzz run ops fuzz/corpus/ops fuzz/seeds/ops`

#![no_main]

use libfuzzer_sys::fuzz_target;

use crate::input::Input;
use crate::trial::Trial;

mod input;
mod loads;
mod model;
mod related;
mod swaps;
mod tracked;
mod trial;

fuzz_target!(|input: Input| {
    let mut trial = Trial::new(input.setup);
    for call in input.calls {
        trial.step(call);
    }
    trial.finish();
});
