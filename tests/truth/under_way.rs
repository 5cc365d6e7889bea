//! What takes its time: leases, loads, writes through the cache.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Leased;
use brindle::Loaded;

use crate::choices::KEYS;
use crate::judge::Origin;
use crate::source::Value;
use crate::steps::Kind;
use crate::steps::Step;
use crate::tasks::Loading;
use crate::tasks::poll;
use crate::world::Checked;
use crate::world::Done;
use crate::world::Held;
use crate::world::Task;
use crate::world::World;

impl World {
    /// A step of what was begun, or a beginning.
    pub fn go_on(&mut self, Step { kind, key, dice }: Step) -> Checked {
        match kind {
            Kind::Lease => match self.cache.get_or_lease(&key, Some(Duration::ZERO)) {
                Leased::Value(value) => self.judge_now(key, Some(value))?,
                Leased::Lease(lease) => self.leases.push(Held { lease, born: self.step, value: None }),
                _ => {}
            },
            Kind::LeaseRead => {
                if let Some(at) = place(self.leases.len(), dice) {
                    let state = self.source.state(*self.leases[at].lease.key());
                    let claims = self.claims(dice);
                    self.leases[at].value = Some(self.instance(state, self.leases[at].born, Origin::Load { claims }));
                }
            }
            Kind::LeaseFill => {
                let Some(at) = place(self.leases.len(), dice) else { return Ok(()) };
                let Some(value) = self.leases[at].value else { return Ok(()) };
                let loaded = self.loaded(value);
                drop(self.leases.swap_remove(at).lease.fill_loaded(loaded));
            }
            Kind::LeaseFail => {
                if let Some(at) = place(self.leases.len(), dice) {
                    self.leases.swap_remove(at).lease.fail(());
                }
            }
            Kind::LeaseDrop => {
                if let Some(at) = place(self.leases.len(), dice) {
                    drop(self.leases.swap_remove(at));
                }
            }
            Kind::Load | Kind::Reload | Kind::LoadMany => self.start_load(kind, key, dice),
            Kind::WriteThrough => self.start_write(key, dice),
            Kind::Poll => self.poll_task(dice)?,
            Kind::DropTask => {
                if let Some(at) = place(self.tasks.len(), dice) {
                    let task = self.tasks.swap_remove(at);
                    let begun = task.began.load(SeqCst);
                    let writes = task.writes.filter(|_| begun);
                    drop(task);
                    if let Some(key) = writes {
                        self.fence(key, 0);
                    }
                }
            }
            Kind::Background => {
                let mut loads = std::mem::take(&mut *self.shared.background.lock().unwrap());
                if let Some(at) = place(loads.len(), dice)
                    && poll(&mut loads[at]).is_some()
                {
                    drop(loads.swap_remove(at));
                }
                self.shared.background.lock().unwrap().extend(loads);
            }
            Kind::DropBackground => {
                let mut loads = std::mem::take(&mut *self.shared.background.lock().unwrap());
                if let Some(at) = place(loads.len(), dice) {
                    drop(loads.swap_remove(at));
                }
                self.shared.background.lock().unwrap().extend(loads);
            }
            Kind::SlotRead | Kind::SlotEnd | Kind::SlotFail => self.move_slot(kind, dice),
            Kind::GetWith => {
                let state = self.source.state(key);
                let value = self.instance(state, self.step, Origin::Load { claims: self.claims(dice) });
                let (cache, loaded, fails) = (self.cache.clone(), self.loaded(value), dice % 3 == 0);
                // It may have to wait for another, and loads later than it reads: then its value is as old as it is.
                let load = async move { if fails { Err(()) } else { Ok(loaded) } };
                let future = Box::pin(async move { Done::Read(vec![(key, cache.load_async(&key, load).await.ok())]) });
                self.tasks.push(Task { said: None, future, writes: None, shows: Arc::default(), began: Arc::default() });
                let last = self.tasks.len() - 1;
                self.poll_at(last)?;
                self.tasks.truncate(last);
            }
            _ => {}
        }
        Ok(())
    }

    fn start_load(&mut self, kind: Kind, key: u8, dice: u64) {
        let (cache, loading) = (self.cache.clone(), Loading::new(&self.shared, key));
        let shared = Arc::clone(&self.shared);
        let future: Pin<Box<dyn Future<Output = Done>>> = match kind {
            Kind::LoadMany => Box::pin(async move {
                let keys = [key, (key + 1) % KEYS as u8];
                let load = |wanted: Vec<u8>| {
                    let each: Vec<Loading> = wanted.iter().map(|&key| Loading::new(&shared, key)).collect();
                    async move {
                        let mut loaded = Vec::new();
                        for (key, one) in wanted.into_iter().zip(each) {
                            if let Ok(one) = one.await {
                                loaded.push((key, one));
                            }
                        }
                        Ok::<_, ()>(loaded)
                    }
                };
                let values = cache.try_get_many_with_async(&keys, load).await.unwrap_or_default();
                Done::Read(keys.into_iter().zip(values).collect())
            }),
            Kind::Reload => Box::pin(async move { Done::Read(vec![(key, cache.reload_async(&key, loading).await.ok())]) }),
            _ if dice.is_multiple_of(4) => Box::pin(async move {
                let loading = loading.silent();
                let load = async { loading.await.map(|loaded| loaded.value) };
                Done::Read(vec![(key, cache.try_get_with_async(&key, load).await.ok())])
            }),
            _ => Box::pin(async move { Done::Read(vec![(key, cache.load_async(&key, loading).await.ok())]) }),
        };
        self.tasks.push(Task { said: None, future, writes: None, shows: Arc::default(), began: Arc::default() });
    }

    fn start_write(&mut self, key: u8, dice: u64) {
        let (cache, writing) = (self.cache.clone(), Loading::writing(&self.shared, key));
        let claims = self.claims(dice);
        let shows: Arc<Mutex<Option<Value>>> = Arc::default();
        let began: Arc<AtomicBool> = Arc::default();
        let (wrote, begins) = (Arc::clone(&shows), Arc::clone(&began));
        let future = Box::pin(async move {
            let write = |_| {
                begins.store(true, SeqCst);
                async move {
                    let loaded = writing.await?;
                    *wrote.lock().unwrap() = Some(loaded.value);
                    Ok::<_, ()>(if claims { Loaded::new(loaded.value).at(loaded.value.lsn) } else { Loaded::new(loaded.value) })
                }
            };
            let version = cache.write_through_async(key, write).await;
            Done::Written { key, claims, version: version.ok().flatten() }
        });
        self.tasks.push(Task { said: None, future, writes: Some(key), shows, began });
    }

    fn poll_task(&mut self, dice: u64) -> Checked {
        place(self.tasks.len(), dice).map_or(Ok(()), |at| self.poll_at(at))
    }

    fn poll_at(&mut self, at: usize) -> Checked {
        let said = self.said.clone();
        let task = &mut self.tasks[at];
        let said = task.said.get_or_insert(said).clone();
        let Some(done) = poll(&mut task.future) else { return Ok(()) };
        let task = self.tasks.swap_remove(at);
        match done {
            Done::Read(values) => {
                for (key, value) in values {
                    if let Some(value) = value {
                        self.judge(&said, key, value)?;
                    }
                }
            }
            Done::Written { key, claims, version } => {
                let value = *task.shows.lock().unwrap();
                let began = task.began.load(SeqCst);
                match (value, version) {
                    (Some(value), Some(_)) => {
                        self.instances[value.id].born = self.step;
                        self.instances[value.id].origin =
                            if claims || self.choices.versioned_by { Origin::Event } else { Origin::Local };
                        self.fence(key, 0);
                        if claims {
                            self.tell(key, value.lsn);
                        }
                    }
                    (Some(value), None) if claims || self.choices.versioned_by => {
                        self.tell(key, value.lsn);
                        self.fence_loads(key);
                    }
                    _ if began => self.fence(key, 0),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// A load reads the source, or a write writes it; and then says so, or fails.
    fn move_slot(&mut self, kind: Kind, dice: u64) {
        let open: Vec<usize> = {
            let slots = self.shared.slots.lock().unwrap();
            (0..slots.len()).filter(|&at| !slots[at].gone && slots[at].outcome.is_none()).collect()
        };
        let Some(at) = place(open.len(), dice).map(|at| open[at]) else { return };
        let slot = self.shared.slots.lock().unwrap()[at].clone();
        let outcome = match (kind, slot.value) {
            (Kind::SlotFail, _) => Err(()),
            (Kind::SlotEnd, Some(value)) => Ok(self.loaded(value)),
            (Kind::SlotRead, None) => {
                let state = if slot.writes { self.commit(slot.key, dice >> 8) } else { self.source.state(slot.key) };
                let claims = slot.says && self.claims(dice);
                let value = self.instance(state, slot.born, Origin::Load { claims });
                self.shared.slots.lock().unwrap()[at].value = Some(value);
                return;
            }
            _ => return,
        };
        self.shared.slots.lock().unwrap()[at].outcome = Some(outcome);
    }
}

/// One of so many, if there is any.
fn place(count: usize, dice: u64) -> Option<usize> {
    (count > 0).then(|| (dice >> 3) as usize % count)
}
