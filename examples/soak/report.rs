//! The words.

use std::time::Duration;

use brindle::Stats;

use crate::args::Args;
use crate::common::words::counted;
use crate::common::words::duration;
use crate::common::words::grouped;
use crate::epoch::Outcome;
use crate::memory::Memory;
use crate::memory::mebibytes;
use crate::memory::resident;
use crate::plan::Plan;

/// Said before anything runs.
pub(crate) fn heading(args: &Args) -> String {
    format!(
        "soak: does the cache keep its promises, used in every way at once?\n\n  {} for {}, seed {}; a new configuration every second or two\n\n",
        counted(args.threads, "thread"),
        duration(args.time),
        args.seed
    )
}

/// How to have such an epoch again.
pub(crate) fn description(plan: &Plan, threads: usize) -> String {
    format!("  again     --seed {} --threads {threads}\n  choices   {plan:?}", plan.seed)
}

/// All epochs so far.
pub(crate) struct Report {
    epochs: u64,
    steps: u64,
    time: Duration,
    loaders: u64,
    told: u64,
    quiet_moments: u64,
    held: usize,
    stats: Stats,
    memory: Memory,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            epochs: 0,
            steps: 0,
            time: Duration::ZERO,
            loaders: 0,
            told: 0,
            quiet_moments: 0,
            held: 0,
            stats: Stats::default(),
            memory: Memory::default(),
        }
    }

    /// An epoch went well; what is left of its memory is looked at now.
    pub(crate) fn add(&mut self, outcome: &Outcome, steps: u64, time: Duration) -> Result<(), String> {
        self.epochs += 1;
        (self.steps, self.time) = (steps, time);
        self.loaders += outcome.loaders;
        self.told += outcome.told;
        self.quiet_moments += outcome.quiet_moments;
        self.held += outcome.held_to_the_end;
        add(&mut self.stats, &outcome.stats);
        self.memory.after_epoch()
    }

    pub(crate) fn line(&self, passed: Duration, time: Duration, steps: u64, loaders: u64) -> String {
        format!(
            "{:.0} of {:.0} s, epoch {}, {} operations, {} loads, {} resident",
            passed.as_secs_f64(),
            time.as_secs_f64(),
            self.epochs + 1,
            grouped(steps),
            grouped(self.loaders + loaders),
            resident().map_or_else(|| "?".to_owned(), mebibytes),
        )
    }

    /// Said at the end.
    pub(crate) fn text(&self) -> String {
        let stats = &self.stats;
        let mut text = format!(
            "{} in {}, {} of them whole\n\n",
            counted_long(self.steps, "operation"),
            duration(self.time),
            counted_long(self.epochs, "epoch")
        );
        let lines = [
            ("reads", vec![(stats.hits, "hits"), (stats.misses, "misses"), (stats.stale_served, "served stale")]),
            ("writes", vec![(stats.inserts, "values came"), (stats.refused_stale, "refused as old")]),
            (
                "left",
                vec![
                    (stats.replaced, "replaced"),
                    (stats.invalidated, "invalidated"),
                    (stats.evicted, "evicted"),
                    (stats.expired, "expired"),
                    (stats.cleared, "cleared"),
                    (self.told, "of them told"),
                ],
            ),
            (
                "loads",
                vec![
                    (self.loaders, "loaders ran"),
                    (stats.waits, "calls waited"),
                    (stats.fenced, "fenced"),
                    (stats.loads_older, "older than known"),
                    (stats.load_failures, "failed"),
                    (stats.takeovers, "taken over"),
                    (stats.load_timeouts, "overdue"),
                ],
            ),
            (
                "looks",
                vec![(self.quiet_moments, "quiet moments"), (self.held as u64, "guards and leases that outlived their cache")],
            ),
        ];
        for (what, counts) in lines {
            let counts: Vec<String> = counts.into_iter().map(|(count, name)| format!("{} {name}", grouped(count))).collect();
            text += &format!("  {what:<8}{}\n", counts.join(", "));
        }
        let (last, most) = (self.memory.last, self.memory.most);
        text += &format!(
            "  memory  {} resident after the last epoch ({} at most); {} bytes allocated ({} at most)\n\n",
            mebibytes(last.resident),
            mebibytes(most.resident),
            grouped(last.allocated as u64),
            grouped(most.allocated as u64),
        );
        text
    }
}

fn counted_long(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

fn add(all: &mut Stats, one: &Stats) {
    all.hits += one.hits;
    all.misses += one.misses;
    all.inserts += one.inserts;
    all.replaced += one.replaced;
    all.invalidated += one.invalidated;
    all.evicted += one.evicted;
    all.expired += one.expired;
    all.cleared += one.cleared;
    all.refused_stale += one.refused_stale;
    all.load_failures += one.load_failures;
    all.load_timeouts += one.load_timeouts;
    all.takeovers += one.takeovers;
    all.fenced += one.fenced;
    all.loads_older += one.loads_older;
    all.stale_served += one.stale_served;
    all.waits += one.waits;
}
