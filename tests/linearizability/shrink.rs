//! The least of a rejected history that shows what is wrong with it, for people to read.
//!
//! Both ways of making it smaller keep the verdict honest. Up to any moment a good history is a good history, with what was under way then
//! done or not; so the end is cut off. And it stays one without any of its reads, as they change nothing; so those go that are not needed.

use std::fmt::Write;

use crate::checker::Rejected;
use crate::checker::Verdict;
use crate::checker::Why;
use crate::checker::check_part;
use crate::history::History;
use crate::history::Key;
use crate::history::Step;
use crate::rules::Rules;

/// The part of a rejected history that is wrong, as small as it gets.
pub fn shrink(history: &History, rules: &Rules, keys: &[Key]) -> History {
    let mut part = history.clone();
    part.steps.retain(|step| step.concerns(keys));
    let is_wrong = |history: &History| check_part(history, rules, keys) == Err(Why::NoOrder);
    if !is_wrong(&part) {
        return part;
    }
    let mut ends: Vec<u64> = part.steps.iter().map(|step| step.end).collect();
    ends.sort_unstable();
    let shortest = ends.partition_point(|&end| !is_wrong(&until(&part, end)));
    part = until(&part, ends.get(shortest).copied().unwrap_or(Step::OPEN));
    for at in (0..part.steps.len()).rev() {
        let mut without = part.clone();
        if without.steps.remove(at).only_looks() && is_wrong(&without) {
            part = without;
        }
    }
    part
}

/// What had begun by then; what had not ended need not have taken effect.
fn until(history: &History, moment: u64) -> History {
    let mut part = history.clone();
    part.steps.retain(|step| step.begin < moment);
    part.steps.iter_mut().filter(|step| step.end > moment).for_each(|step| step.end = Step::OPEN);
    part
}

/// A time line: a line for each step, by its beginning.
pub fn show(history: &History) -> String {
    let mut text = String::new();
    let mut steps: Vec<&Step> = history.steps.iter().collect();
    steps.sort_by_key(|step| (step.begin, step.place));
    for step in steps {
        let end = if step.end == Step::OPEN { "...".to_string() } else { step.end.to_string() };
        let _ =
            write!(text, "{:>5} to {end:>5}  {}thread {}  {}:", step.begin, "    ".repeat(step.thread), step.thread, step.name);
        for (key, act) in &step.acts {
            let _ = if step.everywhere { write!(text, " {act:?}") } else { write!(text, " key {key} {act:?}") };
        }
        text.push('\n');
    }
    for (id, fact) in &history.values {
        let is_named = |step: &Step| step.acts.iter().any(|(_, act)| act.names(*id));
        if history.steps.iter().any(is_named) {
            let group = fact.group.map_or(String::new(), |group| format!(", in group {group}"));
            let stamp = fact.stamp.map_or("of unknown version".to_string(), |stamp| format!("has version {stamp:?}"));
            let _ = writeln!(text, "value {id} {stamp}{group}");
        }
    }
    let runs = |load: u32| history.steps.iter().flat_map(|step| &step.acts).any(|(_, act)| act.leads(load));
    for (load, brought) in history.loads.iter().filter(|(load, _)| runs(**load)) {
        let _ = writeln!(text, "load {load} brought {brought:?}");
    }
    text
}

/// All that there is to say of a rejected history.
pub fn report(history: &History, rules: &Rules, rejected: &Rejected) -> String {
    let part = shrink(history, rules, &rejected.keys);
    debug_assert_ne!(check_part(&part, rules, &rejected.keys), Ok(Verdict::Good));
    format!("keys {:?}: {:?}\n{rules:?}\n{}", rejected.keys, rejected.why, show(&part))
}
