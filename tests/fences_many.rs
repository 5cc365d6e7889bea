//! A load of many keys is a flight for each of them: what is fenced of one key says nothing of the others, and whoever waits for one of them
//! depends on that one alone.

mod common;
#[path = "fences/faces.rs"]
mod faces;
#[path = "fences/operations.rs"]
mod operations;

use std::sync::Arc;
use std::sync::Mutex;

use brindle::LoadError;

use common::executor::Boxed;
use common::executor::Sender;
use common::executor::Task;
use common::executor::oneshot;
use common::watched;
use faces::Answer;
use faces::Broken;
use faces::End;
use faces::Held;
use faces::pick;
use faces::ways;
use operations::KEY;
use operations::NEW;
use operations::OLD;
use operations::Tried;
use operations::Waiters;
use operations::fencing;
use operations::plain;
use operations::reads;

type Rows = Vec<(u64, u64)>;
type Answers = Result<Vec<Option<u64>>, LoadError<Broken>>;

/// A call for many keys on a task. Its loader notes what it is asked for and waits to be given the rows.
struct Batch {
    task: Task<Boxed<'static, Answers>>,
    asked: Arc<Mutex<Vec<Vec<u64>>>>,
    rows: Vec<Sender<Result<Rows, Broken>>>,
}

impl Batch {
    fn call(cache: &Tried, keys: &[u64]) -> Self {
        let (cache, keys) = (cache.clone(), keys.to_vec());
        let asked = Arc::new(Mutex::new(Vec::new()));
        // The loader may be asked once for all and then once for each key.
        let (rows, mut given): (Vec<_>, Vec<_>) = (0..=keys.len()).map(|_| oneshot()).unzip();
        let noted = Arc::clone(&asked);
        let task: Boxed<'static, Answers> = Box::pin(async move {
            let load = |keys: Vec<u64>| {
                noted.lock().unwrap().push(keys);
                given.remove(0)
            };
            cache.try_get_many_with_async(&keys, load).await
        });
        let mut batch = Batch { task: Task::new(task), asked, rows };
        batch.task.pends();
        batch
    }

    fn asked(&self) -> Vec<Vec<u64>> {
        self.asked.lock().unwrap().clone()
    }

    /// The loader that waits longest brings this.
    fn bring(&mut self, rows: Result<Rows, Broken>) {
        self.rows.remove(0).send(rows);
        assert!(self.task.is_woken());
    }
}

fn rows(keys: &[u64], value: u64) -> Rows {
    keys.iter().map(|key| (*key, value)).collect()
}

const KEYS: [u64; 4] = [70, KEY, 71, 72];

#[test]
fn a_fence_of_one_key_leaves_the_others_alone() {
    watched(|| {
        let single = |name: &str| !name.contains("retain") && !name.contains("clear");
        for operation in fencing().iter().filter(|operation| !operation.present && operation.keeps && single(operation.name)) {
            let name = operation.name;
            let cache = operation.prepare();
            let mut batch = Batch::call(&cache, &KEYS);
            assert_eq!(batch.asked(), [KEYS.to_vec()], "{name}");
            (operation.run)(&cache);
            let new = operation.leaves.is_none().then(|| Batch::call(&cache, &KEYS));
            assert!(new.as_ref().is_none_or(|new| new.asked() == [vec![KEY]]), "{name}: it waits for the others");

            batch.bring(Ok(rows(&KEYS, OLD)));
            let own = Some(operation.leaves.unwrap_or(OLD));
            assert_eq!(batch.task.ends().unwrap(), [Some(OLD), own, Some(OLD), Some(OLD)], "{name}");
            reads(&cache, operation.leaves, name);
            assert!([70, 71, 72].iter().all(|key| cache.get(key) == Some(OLD)), "{name}");
            assert_eq!(cache.stats().fenced, 1, "{name}");

            if let Some(mut new) = new {
                new.bring(Ok(vec![(KEY, NEW)]));
                assert_eq!(new.task.ends().unwrap(), [Some(OLD), Some(NEW), Some(OLD), Some(OLD)], "{name}");
                reads(&cache, Some(NEW), name);
            }
            assert_eq!(cache.stats().flights, 0, "{name}");
        }
    });
}

#[test]
fn mass_operations_fence_all_keys_of_a_call() {
    watched(|| {
        let sweep: [fn(&Tried); 2] = [|cache| cache.clear(), |cache| cache.retain(|_, _| true)];
        for sweep in sweep {
            let cache = plain().build().unwrap();
            let mut old = Batch::call(&cache, &KEYS);
            sweep(&cache);
            let mut new = Batch::call(&cache, &KEYS);
            assert_eq!(new.asked(), [KEYS.to_vec()]);
            old.bring(Ok(rows(&KEYS, OLD)));
            assert_eq!(old.task.ends().unwrap(), [Some(OLD); 4]);
            assert!(cache.is_empty() && cache.stats().fenced == 4);
            new.bring(Ok(rows(&KEYS, NEW)));
            assert_eq!(new.task.ends().unwrap(), [Some(NEW); 4]);
            assert!(KEYS.iter().all(|key| cache.get(key) == Some(NEW)));
        }
    });
}

/// The call has loaded its own keys, and waits for one that somebody else loads, when that is fenced.
#[test]
fn who_waits_with_many_keys_is_freed_by_a_write_and_not_by_a_removal() {
    watched(|| {
        for operation in fencing().iter().filter(|operation| !operation.present && operation.keeps) {
            for leader in ways() {
                let case = format!("{leader}, {}", operation.name);
                let cache = operation.prepare();
                let other = Held::open(&cache, leader, KEY);
                let mut batch = Batch::call(&cache, &KEYS);
                assert_eq!(batch.asked(), [vec![70, 71, 72]], "{case}");
                batch.bring(Ok(rows(&[70, 71, 72], NEW)));
                batch.task.pends();
                (operation.run)(&cache);
                let value = match operation.waiters {
                    Waiters::Freed(value) => {
                        assert!(batch.task.is_woken(), "{case}");
                        value
                    }
                    Waiters::Wait => {
                        assert!(!batch.task.is_woken(), "{case}");
                        OLD
                    }
                    Waiters::Unsaid => continue,
                };
                if operation.waiters == Waiters::Wait {
                    other.end(End::Value(OLD));
                }
                assert_eq!(batch.task.ends().unwrap(), [Some(NEW), Some(value), Some(NEW), Some(NEW)], "{case}");
            }
        }
    });
}

#[test]
fn what_was_not_asked_for_is_left_aside() {
    watched(|| {
        let cache = plain().build().unwrap();
        cache.insert(71, NEW);
        let open = Held::open(&cache, pick(&ways(), 0), 72);
        // Of what it brings, 70 was asked for; 71 is resident, 72 is another's to load, and 73 nobody's.
        let answers = cache.try_get_many_with(&[70, 71], |keys| {
            assert_eq!(keys, [70]);
            Ok::<_, Broken>(rows(&[70, 71, 72, 73, 70], OLD))
        });
        assert_eq!(answers.unwrap(), [Some(OLD), Some(NEW)]);
        assert_eq!([70, 71, 72, 73].map(|key| cache.get(&key)), [Some(OLD), Some(NEW), None, None]);
        assert_eq!(open.end(End::Value(NEW)), Answer::Value(NEW));
        assert_eq!(cache.get(&72), Some(NEW));
    });
}

/// Two calls with keys in common, each of which loads what the other waits for.
#[test]
fn calls_that_wait_for_each_other_come_to_an_end() {
    watched(|| {
        let cache = plain().build().unwrap();
        let mut one = Batch::call(&cache, &[1, 2]);
        let mut two = Batch::call(&cache, &[2, 3]);
        let mut three = Batch::call(&cache, &[3, 1, 4]);
        assert_eq!([one.asked(), two.asked(), three.asked()], [[vec![1, 2]], [vec![3]], [vec![4]]]);
        three.bring(Ok(rows(&[4], 4)));
        three.task.pends();
        two.bring(Ok(rows(&[3], 3)));
        two.task.pends();
        one.bring(Ok(vec![(1, 1), (2, 2)]));
        assert_eq!(one.task.ends().unwrap(), [Some(1), Some(2)]);
        assert_eq!(two.task.ends().unwrap(), [Some(2), Some(3)]);
        assert_eq!(three.task.ends().unwrap(), [Some(3), Some(1), Some(4)]);
        assert_eq!(cache.stats().flights, 0);
    });
}

/// A call that waits for two loads of others. The one is given up while the other hangs: whoever waits for it with this call must not have
/// to wait for the hanging one.
#[test]
fn a_load_that_is_given_up_passes_to_somebody_who_is_free_to_take_it() {
    watched(|| {
        for keys in [[1, 2], [2, 1]] {
            for given_up in [1, 2] {
                let case = format!("keys {keys:?}, {given_up} is given up");
                let cache = plain().build().unwrap();
                let way = ways().into_iter().find(|way| way.on == faces::On::Task).unwrap();
                let mut leaders = [1, 2].map(|key| Some(Held::open(&cache, way, key)));
                let mut many = Batch::call(&cache, &keys);
                let mut single = Held::join(&cache, way, given_up);
                single.tell(End::Value(NEW));
                let leader = leaders[given_up as usize - 1].take().unwrap();
                assert_eq!(leader.end(End::Cancel), Answer::Cancelled);
                // Everybody who was woken moves: the call for many, or the other, loads the key.
                if many.task.is_woken() {
                    many.task.pends();
                }
                if many.asked() == [vec![given_up]] {
                    many.bring(Ok(rows(&[given_up], NEW)));
                    many.task.pends();
                }
                assert!(single.is_over(), "nobody loads the key while another load hangs: {case}");
                assert_eq!(single.answer(), Answer::Value(NEW), "{case}");
                let hanging = leaders.into_iter().flatten().next().unwrap();
                hanging.end(End::Value(OLD));
                let answers = many.task.ends().unwrap();
                assert_eq!(answers, keys.map(|key| Some(if key == given_up { NEW } else { OLD })), "{case}");
            }
        }
    });
}
