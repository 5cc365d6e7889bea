//! `mkdir -p fuzz/corpus/interleave && RUSTC_BOOTSTRAP=1 cargo fuzz run interleave fuzz/corpus/interleave fuzz/seeds/interleave`

#![no_main]

use brindle_fuzz::interleave;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: interleave::Input| interleave::run(input));
