//! `mkdir -p fuzz/corpus/policy && RUSTC_BOOTSTRAP=1 cargo fuzz run policy fuzz/corpus/policy fuzz/seeds/policy`

#![no_main]

use brindle_fuzz::policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: policy::Input| policy::run(input));
