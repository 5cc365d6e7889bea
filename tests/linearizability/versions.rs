//! What is to be said of versions without any order: a value has one, and no two values of a key have the same.

use std::collections::BTreeMap;

use crate::history::Act;
use crate::history::History;
use crate::history::Id;
use crate::history::Key;

pub fn check(history: &History, keys: &[Key]) -> Result<(), String> {
    for &key in keys {
        let mut revisions = BTreeMap::new();
        for id in written(history, key) {
            if let Some((_, other)) = history.disagreements.iter().find(|(of, _)| *of == id) {
                return Err(format!("value {id} of key {key} was seen as {:?} and as {other:?}", history.stamp(id)));
            }
            let Some(stamp) = history.stamp(id) else { continue };
            if let Some(other) = revisions.insert(stamp.revision, id)
                && other != id
            {
                return Err(format!("values {other} and {id} of key {key} have both had revision {}", stamp.revision));
            }
        }
    }
    Ok(())
}

/// What was written of a key.
fn written(history: &History, key: Key) -> impl Iterator<Item = Id> {
    let acts = history.steps.iter().flat_map(|step| &step.acts).filter(move |(of, _)| *of == key);
    acts.filter_map(|(_, act)| match act {
        Act::Write(value) | Act::Land { value, .. } | Act::EndWrite { value: Some(value), .. } => Some(value.id),
        _ => None,
    })
}
