//! One path of one contender, alone, so that its instructions can be counted.

use std::hint::black_box;

use versus::contenders::{Contender, Subject};
use versus::workload::{COLD_LOAD, EVICT, GET_WITH_WARM, HIT_100K, Mix, REPLACE};

const HELP: &str = "\
Usage: onepath CONTENDER get|insert|replace|get-with|load COUNT

Instructions of an operation, the loop's own few included: divide what is collected inside `measured` by COUNT.

  valgrind --tool=callgrind --toggle-collect='*onepath::measured*' --callgrind-out-file=onepath.callgrind \\
      target/release/onepath brindle get 1000000
  callgrind_annotate --inclusive=yes onepath.callgrind

Where perf can count, take the difference of two counts, so that the filling cancels out:

  perf stat -e instructions:u target/release/onepath brindle get 1000000
  perf stat -e instructions:u target/release/onepath brindle get 2000000";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [contender, path, count] = words.as_slice() else {
        return println!("{HELP}");
    };
    let contender = Contender::named(contender).expect("a contender's name");
    let scenario = match path.as_str() {
        "get" => HIT_100K,
        "insert" => EVICT,
        "replace" => REPLACE,
        "get-with" => GET_WITH_WARM,
        "load" => COLD_LOAD,
        _ => return println!("{HELP}"),
    };
    let count = count.parse().expect("a count");

    let subject = contender.enter(&scenario);
    let mut keys = scenario.keys();
    subject.play(scenario.mix, &keys.batch(scenario.warm));
    measured(&*subject, scenario.mix, &keys.batch(count));
    println!("{} {path}: {count} operations", contender.name);
}

#[inline(never)]
fn measured(subject: &dyn Subject, mix: Mix, keys: &[u64]) {
    subject.play(mix, black_box(keys));
}
