//! What a cache was told, or has shown, of a key: what it knows at most, and what it has promised to know still.

use std::time::Duration;

/// A key was alive or dead at some source version.
#[derive(Clone, Copy, Debug)]
struct Fact {
    source: u64,
    death: Death,
    since: Duration,
}

/// Is that source itself dead?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Death {
    /// It is, or was, alive; or what is below it was invalidated.
    Below,
    /// It was alive, and nobody knows whether it was removed or had left before.
    Perhaps,
    /// It was removed.
    UpTo,
}

#[derive(Default)]
pub struct Facts(Vec<Fact>);

impl Facts {
    pub fn add(&mut self, source: u64, death: Death, since: Duration) {
        self.0.push(Fact { source, death, since });
    }

    /// What was alive last, as far as anybody knows, was removed, or had left before.
    pub fn blur(&mut self) {
        let highest = self.highest().map(|(source, _)| source);
        for fact in self.0.iter_mut().filter(|fact| Some(fact.source) == highest) {
            fact.death = fact.death.max(Death::Perhaps);
        }
    }

    /// The furthest of all.
    pub fn highest(&self) -> Option<(u64, Death)> {
        self.0.iter().map(|fact| (fact.source, fact.death)).max()
    }

    /// The furthest of those that are younger than `lag`.
    pub fn highest_within(&self, lag: Duration, now: Duration) -> Option<u64> {
        self.0.iter().filter(|fact| now < fact.since.saturating_add(lag)).map(|fact| fact.source).max()
    }
}
