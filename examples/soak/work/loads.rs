//! Loads by every call that loads, for threads and for tasks.

use std::cell::Cell;

use brindle::LoadError;
use brindle::Loaded;

use crate::fences::Since;
use crate::row::District;
use crate::row::Row;
use crate::source::Down;
use crate::source::Fate;
use crate::source::planned;
use crate::tasks;
use crate::tasks::Work;
use crate::truth::Bounds;

use super::Worker;

/// Keys of one call for many.
const MANY: usize = 5;
/// Tasks on one thread.
const TASKS: usize = 6;

/// What a call is about, drawn before it begins.
#[derive(Clone, Copy)]
struct Ask {
    key: u64,
    bounds: Bounds,
    since: Since,
    fate: Fate,
}

impl Worker<'_> {
    fn ask(&mut self) -> Ask {
        let key = self.key_of(District::is_loaded);
        self.ask_for(key)
    }

    fn ask_for(&mut self, key: u64) -> Ask {
        let truth = self.truth();
        Ask { key, bounds: truth.bounds(key), since: truth.traffic.since(key), fate: Fate::draw(&mut self.random) }
    }

    /// The answer of a call that loads.
    fn answered(&self, call: &str, ask: Ask, answer: Result<Row, LoadError<Down>>) {
        match answer {
            Ok(row) => self.truth().judge(call, ask.key, ask.bounds, &row),
            Err(LoadError::Reentrant) => self.truth().blame(|| format!("`{call}` of key {} is said to wait for itself", ask.key)),
            Err(_) => {}
        }
    }

    pub(super) fn load(&mut self) {
        if self.one_in(10) {
            return self.load_many();
        }
        let ask = self.ask();
        let Ask { key, since, fate, .. } = ask;
        let (cache, truth, which) = (&self.cache, self.truth(), self.random.below(10));
        let unversioned = || truth.load(key, since, fate).map(|loaded| loaded.value);
        let certain = || truth.load(key, since, fate.without_failure()).map_or_else(|_| truth.row(key), |loaded| loaded.value);
        let loaded = || truth.load(key, since, fate);
        let answer = planned(|| match which {
            0 | 1 => Ok(cache.get_with(&key, certain)),
            2..5 => cache.try_get_with(&key, unversioned),
            5 => cache.try_get_with_local(&key, unversioned),
            6 | 7 => cache.load(&key, loaded),
            8 => cache.reload(&key, loaded),
            _ => cache.try_refresh(&key, unversioned),
        });
        answer.into_iter().for_each(|answer| self.answered("a load", ask, answer));
    }

    fn load_many(&mut self) {
        let asks: Vec<Ask> = (0..MANY).map(|_| self.ask()).collect();
        let (truth, fate) = (self.truth(), asks[0].fate);
        let bring = |wanted: Vec<u64>| {
            let begun: Vec<_> = wanted.iter().map(|&key| truth.begin_load(key, since_of(&asks, key))).collect();
            fate.pause();
            fate.end()?;
            // At times it brings a part.
            Ok(begun.into_iter().take(4).map(|(_, row)| (row.key, fate.hand_out(row))).collect::<Vec<(u64, Loaded<Row>)>>())
        };
        let answers = planned(|| self.cache.try_get_many_with(asks.iter().map(|ask| &ask.key), bring));
        self.answered_many(&asks, answers);
    }

    fn answered_many(&self, asks: &[Ask], answers: Option<Result<Vec<Option<Row>>, LoadError<Down>>>) {
        let Some(Ok(answers)) = answers else { return };
        for (&ask, answer) in asks.iter().zip(answers) {
            answer.into_iter().for_each(|row| self.answered("try_get_many_with", ask, Ok(row)));
        }
    }

    /// A few tasks that load and write through, some of which are dropped on the way.
    pub(super) fn run_tasks(&mut self) {
        let many = 1 + self.random.below(TASKS);
        // Often several of one key.
        let first = self.key_of(District::is_loaded);
        let asks: Vec<Ask> = (0..many).map(|at| if at % 2 == 0 { self.ask_for(first) } else { self.ask() }).collect();
        let choices: Vec<usize> = asks.iter().map(|_| self.random.below(8)).collect();
        let mut random = crate::common::random::Random::new(self.random.below(usize::MAX) as u64, 0);
        let worker = &*self;
        let work = asks.iter().zip(choices).map(|(&ask, choice)| worker.task(ask, choice));
        tasks::run(work, &mut random);
    }

    fn task(&self, ask: Ask, choice: usize) -> Work<'_> {
        let is_through = District::of(ask.key) == District::Through;
        match choice {
            0 | 1 if is_through => Box::pin(self.write_through_task(ask.key, ask.fate)),
            0 => Box::pin(self.load_many_task(ask)),
            _ => Box::pin(self.load_task(ask, choice)),
        }
    }

    async fn load_task(&self, ask: Ask, choice: usize) {
        let Ask { key, since, fate, .. } = ask;
        let (cache, truth) = (&self.cache, self.truth());
        let unversioned = async { truth.load_as_task(key, since, fate).await.map(|loaded| loaded.value) };
        let answer = match choice {
            1 => {
                let certain = async {
                    let loaded = truth.load_as_task(key, since, fate.without_failure()).await;
                    loaded.map_or_else(|_| truth.row(key), |loaded| loaded.value)
                };
                Ok(cache.get_with_async(&key, certain).await)
            }
            2 | 3 => cache.try_get_with_async(&key, unversioned).await,
            4 => cache.load_async(&key, truth.load_as_task(key, since, fate)).await,
            5 => cache.reload_async(&key, truth.load_as_task(key, since, fate)).await,
            6 => cache.try_refresh_async(&key, unversioned).await,
            _ => match cache.get_or_lease_async(&key).await {
                brindle::Leased::Value(row) => Ok(row),
                brindle::Leased::Lease(lease) => {
                    let brought = truth.load_as_task(key, since, fate).await;
                    self.settle(lease, brought);
                    return;
                }
                _ => Err(LoadError::Reentrant),
            },
        };
        self.answered("a load as a task", ask, answer);
    }

    async fn load_many_task(&self, ask: Ask) {
        let truth = self.truth();
        let neighbour = (ask.key + crate::row::DISTRICTS) % truth.keys();
        let asks = [ask, Ask { key: neighbour, bounds: truth.bounds(neighbour), since: truth.traffic.since(neighbour), ..ask }];
        let calls = Cell::new(0);
        let bring = |wanted: Vec<u64>| {
            calls.set(calls.get() + 1);
            let begun: Vec<_> = wanted.iter().map(|&key| truth.begin_load(key, since_of(&asks, key))).collect();
            async move {
                ask.fate.pause_as_task().await;
                ask.fate.end()?;
                Ok::<_, Down>(begun.into_iter().map(|(_, row)| (row.key, ask.fate.hand_out(row))).collect::<Vec<_>>())
            }
        };
        let answers = self.cache.try_get_many_with_async(asks.iter().map(|ask| &ask.key), bring).await;
        self.answered_many(&asks, Some(answers));
    }
}

/// When the call began that wants the key.
fn since_of(asks: &[Ask], key: u64) -> Since {
    asks.iter().find(|ask| ask.key == key).map_or(Since::UNKNOWN, |ask| ask.since)
}
