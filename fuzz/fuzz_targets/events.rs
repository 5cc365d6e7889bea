//! `mkdir -p fuzz/corpus/events && RUSTC_BOOTSTRAP=1 cargo fuzz run events fuzz/corpus/events fuzz/seeds/events`

#![no_main]

use brindle_fuzz::events;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: events::Input| events::run(input));
