//! Replays all traces against all players, on as many threads as there are cores.

use std::cmp::Reverse;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;

use super::args::Args;
use super::field::Player;
use super::progress::Progress;
use super::real;
use super::results::Results;
use super::results::Row;
use super::served::Served;
use super::trace::Trace;

/// In percent of the distinct keys, or of their weight.
const SIZES: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// One trace, size and player.
struct Turn<'a> {
    row: usize,
    player: usize,
    trace: &'a Trace,
    capacity: u64,
    threads: usize,
}

pub fn replay(traces: &[Trace], args: &Args) -> Results {
    let mut rows = Vec::new();
    let mut turns = Vec::new();
    for trace in traces {
        for &threads in &args.threads {
            for (percent, capacity) in sizes(trace, &args.sizes) {
                let takes = |player: &(usize, &Player)| player.1.takes(trace, threads);
                let players = args.players.iter().enumerate().filter(takes);
                turns.extend(players.map(|(player, _)| Turn { row: rows.len(), player, trace, capacity, threads }));
                rows.push(Row::new(trace, percent, capacity, threads, args.players.len()));
            }
        }
    }
    // The long ones first, so that no core idles at the end.
    turns.sort_by_key(|turn| Reverse(turn.trace.requests.len()));

    let results =
        Mutex::new(Results { players: args.players.iter().map(|player| (player.name(), player.role())).collect(), rows });
    let progress = Progress::new(turns.len(), turns.iter().map(|turn| turn.trace.requests.len() as u64).sum());
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    for &threads in &args.threads {
        let turns: Vec<_> = turns.iter().filter(|turn| turn.threads == threads).collect();
        at_once((cores / threads).max(1), &turns, |turn| {
            let served = turn.play(args);
            results.lock().expect("no turn failed").rows[turn.row].served[turn.player] = served;
            progress.done(turn.trace.requests.len() as u64);
        });
    }
    results.into_inner().expect("no turn failed")
}

fn at_once<T: Sync>(workers: usize, work: &[T], run: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(piece) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(piece);
                }
            });
        }
    });
}

/// Percent and capacity. Two shares of a small trace that are of one size are replayed once.
fn sizes(trace: &Trace, given: &[u64]) -> Vec<(Option<u32>, u64)> {
    if given.is_empty() {
        let mut sizes: Vec<_> = SIZES.iter().map(|&percent| (Some(percent), trace.share(percent.into()))).collect();
        sizes.dedup_by_key(|size| size.1);
        sizes
    } else {
        given.iter().map(|&size| (None, size)).collect()
    }
}

impl Turn<'_> {
    fn play(&self, args: &Args) -> Option<Served> {
        match args.players[self.player] {
            Player::Simulated(policy) => Some((policy.play)(self.trace, self.capacity)),
            Player::Real(contender) => {
                (0..args.repeats).map(|_| real::replay(contender, self.trace, self.capacity, self.threads)).sum()
            }
        }
    }
}
