//! Models for loom: small scenes of the real code, played in every schedule that preempts at most a few times, with every value that a
//! weak load may yield. `RUSTFLAGS="--cfg brindle_loom" cargo test --release --lib models`

mod loads;
mod reads;
mod trial;
