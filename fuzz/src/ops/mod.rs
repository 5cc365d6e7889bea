//! A byte string becomes calls on a cache, and a plain model of it is asked after each whether the answer was right.

pub mod call;
mod loads;
mod model;
mod related;
mod swaps;
mod trial;

use self::call::Input;
use self::trial::Trial;

pub fn run(input: Input) {
    let mut trial = Trial::new(input.setup);
    for call in input.calls {
        trial.step(call);
    }
    trial.finish();
}
