//! `mkdir -p fuzz/corpus/ops && RUSTC_BOOTSTRAP=1 cargo fuzz run ops fuzz/corpus/ops fuzz/seeds/ops`

#![no_main]

use brindle_fuzz::ops;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: ops::call::Input| ops::run(input));
