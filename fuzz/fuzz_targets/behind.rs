//! `mkdir -p fuzz/corpus/behind && RUSTC_BOOTSTRAP=1 cargo fuzz run behind fuzz/corpus/behind fuzz/seeds/behind`

#![no_main]

use brindle_fuzz::behind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: behind::Input| behind::run(input));
