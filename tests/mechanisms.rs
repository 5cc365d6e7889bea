//! Every mechanism that can be taken out of the cache stands in a table of a proof that must notice: else nobody would know whether one does.
//! The tables themselves are played under the model checkers; this reads the sources.

use std::fs::read_to_string;
use std::path::Path;

const NAMES: &str = "src/sync/broken.rs";
const TABLES: [&str; 3] = ["src/models/mechanisms.rs", "tests/schedules/broken.rs", "tests/linearizability/broken.rs"];

fn source(file: &str) -> String {
    read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a source of this crate")
}

/// The variants of the enum, a line each.
fn mechanisms(source: &str) -> Vec<&str> {
    let (_, after) = source.split_once("pub enum Broken {").expect("the enum");
    let (variants, _) = after.split_once("\n}").expect("its end");
    variants.lines().filter_map(|line| line.trim().strip_suffix(',')).filter(|name| !name.starts_with("//")).collect()
}

/// Is the mechanism named in this text, and not only the beginning of a longer name?
fn names(text: &str, mechanism: &str) -> bool {
    let named = format!("Broken::{mechanism}");
    text.match_indices(&named).any(|(at, _)| !text[at + named.len()..].starts_with(|next: char| next.is_alphanumeric()))
}

#[test]
fn each_is_missed_by_a_proof() {
    let (source, tables) = (source(NAMES), TABLES.map(source));
    let mechanisms = mechanisms(&source);
    assert!(mechanisms.len() > 50, "where are they? {mechanisms:?}");
    let unmissed: Vec<_> = mechanisms.into_iter().filter(|name| !tables.iter().any(|table| names(table, name))).collect();
    assert!(unmissed.is_empty(), "in no table of {TABLES:?}: {unmissed:?}");
}

#[test]
fn a_name_is_not_the_beginning_of_another() {
    assert!(names("(Broken::Turn, \"x\")", "Turn"));
    assert!(!names("(Broken::TurnWakes, \"x\")", "Turn"));
}
