//! Review: random schedules of hand-polled tasks: no old value, no lost wake-up, no flight left.
mod common;
use brindle::*;
use common::Rng;
use common::executor::Boxed;
use common::executor::Sender;
use common::executor::Task;
use common::executor::oneshot;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

const KEYS: u64 = 3;
type Truth = Arc<Mutex<[u64; KEYS as usize]>>;
type Gates = Arc<Mutex<Vec<Sender<u8>>>>;
type C = Cache<u64, u64>;
const SECS: fn(u64) -> Duration = Duration::from_secs;

#[derive(Clone)]
struct World {
    cache: C,
    truth: Truth,
    gates: Gates,
    sourced: bool,
    timed: bool,
    fences: Truth,
    live: Arc<Mutex<Vec<(u64, u64)>>>,
    twice: Arc<Mutex<Vec<(u64, u64)>>>,
}

struct Live(World, Vec<(u64, u64)>);
impl Drop for Live {
    fn drop(&mut self) {
        let mut live = self.0.live.lock().unwrap();
        for one in &self.1 {
            let at = live.iter().position(|other| other == one).unwrap();
            live.swap_remove(at);
        }
    }
}

impl World {
    fn begins(&self, keys: &[u64]) -> Live {
        let truth = *self.fences.lock().unwrap();
        let these: Vec<_> = keys.iter().map(|&key| (key, truth[key as usize])).collect();
        let mut live = self.live.lock().unwrap();
        for one in &these {
            if live.contains(one) && !self.timed {
                self.twice.lock().unwrap().push(*one);
            }
            live.push(*one);
        }
        Live(self.clone(), these)
    }
    async fn load(self, key: u64) -> Result<Loaded<u64>, String> {
        let _live = self.begins(&[key]);
        self.clone().again(key).await
    }
    async fn again(self, key: u64) -> Result<Loaded<u64>, String> {
        let value = self.truth.lock().unwrap()[key as usize];
        let (go, gate) = oneshot();
        self.gates.lock().unwrap().push(go);
        match gate.await {
            0 => Err("down".into()),
            1 => panic!("loader"),
            _ if self.sourced => Ok(Loaded::new(value).at(value)),
            _ => Ok(Loaded::new(value)),
        }
    }
    async fn load_many(self, keys: Vec<u64>, part: bool) -> Result<Vec<(u64, Loaded<u64>)>, String> {
        let _live = self.begins(&keys);
        let truth = *self.truth.lock().unwrap();
        let (go, gate) = oneshot();
        self.gates.lock().unwrap().push(go);
        let sourced = self.sourced;
        match gate.await {
            0 => Err("down".into()),
            1 => panic!("loader"),
            _ => Ok(keys
                .into_iter()
                .skip(usize::from(part))
                .map(|key| {
                    let value = truth[key as usize];
                    (key, if sourced { Loaded::new(value).at(value) } else { Loaded::new(value) })
                })
                .collect()),
        }
    }
}

struct Running {
    task: Task<Boxed<'static, Vec<(u64, u64)>>>,
    floor: [u64; KEYS as usize],
    what: &'static str,
}

fn start(world: &World, rng: &mut Rng, many: bool) -> (&'static str, Boxed<'static, Vec<(u64, u64)>>) {
    let w = world.clone();
    let key = rng.below(KEYS);
    let some = move |value: Option<u64>| value.map(|value| (key, value)).into_iter().collect::<Vec<_>>();
    match rng.below(if many { 9 } else { 7 }) {
        0 | 1 => (
            "get_with",
            Box::pin(async move {
                let l = w.clone();
                let load = async move {
                    let _live = l.begins(&[key]);
                    loop {
                        match l.clone().again(key).await {
                            Ok(loaded) => return loaded.value,
                            Err(_) => {}
                        }
                    }
                };
                if w.sourced {
                    some(w.cache.load_async(&key, w.clone().load(key)).await.ok())
                } else {
                    some(Some(w.cache.get_with_async(&key, load).await))
                }
            }),
        ),
        2 | 3 => ("load", Box::pin(async move { some(w.cache.load_async(&key, w.clone().load(key)).await.ok()) })),
        4 => ("reload", Box::pin(async move { some(w.cache.reload_async(&key, w.clone().load(key)).await.ok()) })),
        5 => (
            "lease",
            Box::pin(async move {
                match w.cache.get_or_lease_async(&key).await {
                    Leased::Value(value) => some(Some(value)),
                    Leased::Lease(lease) => match w.clone().load(key).await {
                        Ok(loaded) => {
                            let value = loaded.value;
                            let _ = lease.fill_loaded(loaded);
                            some(Some(value))
                        }
                        Err(error) => {
                            lease.fail(error);
                            vec![]
                        }
                    },
                    _ => vec![],
                }
            }),
        ),
        6 => (
            "lease dropped",
            Box::pin(async move {
                match w.cache.get_or_lease_async(&key).await {
                    Leased::Value(value) => some(Some(value)),
                    Leased::Lease(_lease) => {
                        let _ = w.clone().load(key).await;
                        vec![]
                    }
                    _ => vec![],
                }
            }),
        ),
        _ => {
            let part = rng.below(3) == 0;
            let other = rng.below(KEYS);
            (
                "many",
                Box::pin(async move {
                    let keys = [key, other, key];
                    match w.cache.try_get_many_with_async(&keys, |keys| w.clone().load_many(keys, part)).await {
                        Ok(values) => {
                            keys.into_iter().zip(values).filter_map(|(key, value)| value.map(|value| (key, value))).collect()
                        }
                        Err(_) => vec![],
                    }
                }),
            )
        }
    }
}

fn write(world: &World, rng: &mut Rng) -> Option<u64> {
    let key = rng.below(KEYS);
    let new = {
        let mut truth = world.truth.lock().unwrap();
        truth[key as usize] += 1;
        truth[key as usize]
    };
    let cache = &world.cache;
    world.fences.lock().unwrap().iter_mut().for_each(|fence| *fence += 1);
    let which = rng.below(if world.sourced { 6 } else { 13 });
    if which != 5 && which != 12 {
        let mut fences = world.fences.lock().unwrap();
        (0..KEYS).filter(|&other| other != key).for_each(|other| fences[other as usize] -= 1);
    }
    match which {
        0 => drop(cache.insert_at(key, new, new)),
        1 => _ = cache.invalidate_at(&key, new),
        2 => _ = cache.invalidate(&key),
        3 => _ = cache.remove(&key),
        4 => _ = cache.remove_if(&key, |_, _| true),
        5 => cache.retain(|&other, _| other != key),
        6 => _ = cache.insert(key, new),
        7 => _ = cache.insert_with_ttl(key, new, Duration::ZERO),
        8 => _ = cache.insert_with_ttl(key, new, SECS(3)),
        9 => _ = cache.entry(key).and_compute_with(|_| Op::Remove),
        10 => _ = cache.entry(key).and_compute_with(|_| Op::Put(new)),
        11 => {
            // Another key is touched: nothing is said of this one.
            let version = cache.get_entry(&key).map(|entry| entry.version);
            cache.compare_and_swap(key, version, new).ok().expect("nobody else writes");
        }
        _ => cache.clear(),
    }
    Some(key)
}

fn round(seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let (clock, hand) = Clock::mock();
    let bits = seed % 64;
    let many = bits & 32 != 0 && std::env::var("MANY").is_ok();
    let mut builder =
        Cache::builder().stripes(1 + (bits & 1) as usize).max_capacity(if rng.below(4) == 0 { 2 } else { 100 }).clock(clock);
    if bits & 2 != 0 {
        builder = builder.load_timeout(SECS(10));
    }
    if bits & 4 != 0 {
        builder = builder.negative_ttl(SECS(2));
    }
    if bits & 8 != 0 {
        builder = builder.time_to_live(SECS(8)).serve_stale(SECS(5));
        if rng.below(2) == 0 {
            builder = builder.fail_safe();
        }
    }
    if bits & 16 != 0 {
        builder = builder.refresh_after(SECS(4));
    }
    let sourced = rng.below(3) == 0;
    let world = World {
        cache: builder.build().unwrap(),
        truth: Arc::default(),
        gates: Arc::default(),
        sourced,
        timed: bits & 2 != 0,
        fences: Arc::default(),
        live: Arc::default(),
        twice: Arc::default(),
    };
    let mut floor = [0; KEYS as usize];
    let mut running: Vec<Running> = Vec::new();
    let mut log: Vec<String> = Vec::new();
    let mut poll = |running: &mut Vec<Running>, at: usize, log: &mut Vec<String>| -> Result<(), String> {
        let one = &mut running[at];
        match catch_unwind(AssertUnwindSafe(|| one.task.poll())) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(values)) => {
                let one = running.swap_remove(at);
                log.push(format!("{} ends {values:?} floor {:?}", one.what, one.floor));
                for (key, value) in values {
                    if value < one.floor[key as usize] {
                        return Err(format!("{}: old value {value} of {key}, floor {:?}", one.what, one.floor));
                    }
                }
            }
            Err(_) => {
                let one = running.swap_remove(at);
                log.push(format!("{} panics", one.what));
                drop(one);
            }
        }
        Ok(())
    };
    let finish = |running: &mut Vec<Running>,
                  log: &mut Vec<String>,
                  poll: &mut dyn FnMut(&mut Vec<Running>, usize, &mut Vec<String>) -> Result<(), String>|
     -> Result<(), String> {
        loop {
            let gates: Vec<_> = std::mem::take(&mut *world.gates.lock().unwrap());
            let none = gates.is_empty();
            gates.into_iter().for_each(|gate| gate.send(2));
            match running.iter().position(|one| one.task.is_woken()) {
                Some(at) => poll(running, at, log)?,
                None if none => break,
                None => {}
            }
        }
        Ok(())
    };
    let mut body = || -> Result<(), String> {
        for _ in 0..rng.below(120) {
            match rng.below(12) {
                0..=3 => {
                    let (what, future) = start(&world, &mut rng, many);
                    log.push(format!("start {what}"));
                    running.push(Running { task: Task::new(future), floor, what });
                    let at = running.len() - 1;
                    poll(&mut running, at, &mut log)?;
                }
                4 | 5 if !running.is_empty() => {
                    let at = rng.below(running.len() as u64) as usize;
                    if running[at].task.is_woken() || rng.below(4) == 0 {
                        poll(&mut running, at, &mut log)?;
                    }
                }
                6 | 7 => {
                    let mut gates = world.gates.lock().unwrap();
                    if !gates.is_empty() {
                        let at = rng.below(gates.len() as u64) as usize;
                        let gate = gates.swap_remove(at);
                        drop(gates);
                        let outcome = rng.below(6) as u8;
                        log.push(format!("gate {outcome}"));
                        gate.send(outcome);
                    }
                }
                8 if !running.is_empty() => {
                    let at = rng.below(running.len() as u64) as usize;
                    let one = running.swap_remove(at);
                    log.push(format!("drop {}", one.what));
                    drop(one);
                }
                9 | 10 => {
                    let before = *world.truth.lock().unwrap();
                    if let Some(key) = write(&world, &mut rng) {
                        floor[key as usize] = before[key as usize] + 1;
                        log.push(format!("write {key} -> {floor:?}"));
                    }
                }
                _ => {
                    let step = rng.below(5);
                    log.push(format!("clock +{step}"));
                    hand.advance(SECS(step));
                }
            }
            if let Some(twice) = world.twice.lock().unwrap().pop() {
                return Err(format!("two loads of {twice:?}"));
            }
            for key in 0..KEYS {
                if let Some(value) = world.cache.get(&key)
                    && value < floor[key as usize]
                {
                    return Err(format!("get: old value {value} of {key}, floor {floor:?}"));
                }
            }
        }
        finish(&mut running, &mut log, &mut poll)?;
        if !running.is_empty() {
            let left: Vec<_> = running.iter().map(|one| one.what).collect();
            return Err(format!("not at their end: {left:?}"));
        }
        let flights = world.cache.stats().flights;
        if flights != 0 {
            return Err(format!("{flights} flights left"));
        }
        Ok(())
    };
    body().map_err(|error| format!("seed {seed} bits {bits:b} sourced {sourced}: {error}\n  {}", log.join("\n  ")))
}

#[test]
fn random_schedules() {
    std::panic::set_hook(Box::new(|_| {}));
    let until = std::time::Instant::now() + Duration::from_secs(std::env::var("FOR").map_or(20, |s| s.parse().unwrap()));
    let mut seed = std::env::var("SEED").map_or(0, |s| s.parse().unwrap());
    let mut bad = Vec::new();
    while std::time::Instant::now() < until && bad.len() < 3 {
        seed += 1;
        match catch_unwind(AssertUnwindSafe(|| round(seed))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => bad.push(error),
            Err(panic) => bad.push(format!("seed {seed} panics {:?}", panic.downcast_ref::<String>())),
        }
    }
    let _ = std::panic::take_hook();
    println!("{seed} rounds");
    bad.iter().for_each(|bad| println!("{bad}"));
    assert!(bad.is_empty());
}
