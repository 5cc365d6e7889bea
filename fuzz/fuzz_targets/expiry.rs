//! `mkdir -p fuzz/corpus/expiry && RUSTC_BOOTSTRAP=1 cargo fuzz run expiry fuzz/corpus/expiry fuzz/seeds/expiry`

#![no_main]

use brindle_fuzz::expiry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: expiry::Input| expiry::run(input));
