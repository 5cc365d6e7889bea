//! Which loads the running code is part of, and which load waits for which: so that a load that would wait for itself is refused
//! instead of hanging. Loads are numbers here, those of their leases: who takes a load over is not held to what his predecessor waits for.
//!
//! A thread knows the loads whose loaders are on its stack: a blocking loader for as long as it runs, a future while it is polled. A call
//! that waits inside loaders draws an edge from each of their loads to the one it needs. A cycle of edges would never end. Writes through
//! the cache are loads in this, known by the number of their line. What a
//! loader does on threads or tasks that it started is not known here: `load_timeout` is for that.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;

use crate::sync::Broken;
use crate::sync::Mutex;
use crate::sync::Sequence;
use crate::sync::global;
use crate::sync::is_broken;
use crate::sync::thread_local;

/// Loads within each other that are noted in place.
const NOTED: usize = 8;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static OUTER: [Cell<u64>; NOTED] = const { [const { Cell::new(0) }; NOTED] };
    static DEEPER: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

global! {
    static EDGES: Mutex<Option<HashMap<u64, Vec<Need>>>> = Mutex::new(None);
}

/// While it lives, the code on this thread is part of a load. Frames of a thread end in the reverse order, or together.
pub(crate) struct Frame {
    /// It is taken off the stack of the thread that it was put on.
    _thread: PhantomData<*const ()>,
}

impl Frame {
    #[inline]
    pub(crate) fn enter(number: u64) -> Self {
        let depth = DEPTH.with(Cell::get);
        match OUTER.with(|outer| outer.get(depth).map(|place| place.set(number))) {
            Some(()) => {}
            None => enter_deeper(number),
        }
        DEPTH.with(|own| own.set(depth + 1));
        Frame { _thread: PhantomData }
    }
}

#[cold]
fn enter_deeper(number: u64) {
    // A thread that is being torn down has no such list any more: what it does so deep is not known.
    let _ = DEEPER.try_with(|deeper| deeper.borrow_mut().push(number));
}

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        let depth = DEPTH.with(Cell::get) - 1;
        DEPTH.with(|own| own.set(depth));
        if depth >= NOTED {
            let _ = DEEPER.try_with(|deeper| deeper.borrow_mut().pop());
        }
    }
}

/// The loads that the running code is part of.
fn inside() -> Vec<u64> {
    let depth = DEPTH.with(Cell::get);
    let mut numbers = OUTER.with(|outer| outer.iter().take(depth).map(Cell::get).collect::<Vec<_>>());
    if depth > NOTED {
        let _ = DEEPER.try_with(|deeper| numbers.extend_from_slice(&deeper.borrow()));
    }
    numbers
}

/// Is the running code part of this load?
pub(crate) fn is_inside(number: u64) -> bool {
    DEPTH.with(Cell::get) > 0 && inside().contains(&number)
}

/// While it lives, the loads that some code is part of need another. In a box, as most loads have none.
pub(crate) struct Edge(Box<Ends>);

struct Ends {
    /// Tells it from all others.
    number: u64,
    from: Vec<u64>,
}

/// What one load needs.
struct Need {
    edge: u64,
    to: u64,
}

/// The load would wait for itself.
pub(crate) struct Cycle;

/// The running code needs load `number` to end. `None` if it is part of no load itself.
pub(crate) fn need(number: u64) -> Result<Option<Edge>, Cycle> {
    if DEPTH.with(Cell::get) == 0 || is_broken(Broken::Circles) { Ok(None) } else { draw(inside(), number).map(Some) }
}

#[cold]
fn draw(from: Vec<u64>, number: u64) -> Result<Edge, Cycle> {
    static NUMBERS: Sequence = Sequence::new();
    let mut edges = EDGES.lock();
    let edges = edges.get_or_insert_default();
    if reaches(edges, number, &from) {
        return Err(Cycle);
    }
    let edge = NUMBERS.next();
    from.iter().for_each(|&from| edges.entry(from).or_default().push(Need { edge, to: number }));
    Ok(Edge(Box::new(Ends { number: edge, from })))
}

/// A load has passed on, and goes by another number: so do the needs of those who wait for it.
pub(crate) fn pass_on(former: u64, number: u64) {
    if let Some(edges) = EDGES.lock().as_mut() {
        let needs = edges.values_mut().flatten().filter(|need| need.to == former);
        needs.for_each(|need| need.to = number);
    }
}

fn reaches(edges: &HashMap<u64, Vec<Need>>, start: u64, goals: &[u64]) -> bool {
    let mut seen = vec![start];
    let mut at = 0;
    while let Some(&number) = seen.get(at) {
        if goals.contains(&number) {
            return true;
        }
        for need in edges.get(&number).into_iter().flatten() {
            if !seen.contains(&need.to) {
                seen.push(need.to);
            }
        }
        at += 1;
    }
    false
}

impl Drop for Edge {
    fn drop(&mut self) {
        let mut guard = EDGES.lock();
        let Some(edges) = guard.as_mut() else { return };
        for from in &self.0.from {
            let Some(needs) = edges.get_mut(from) else { continue };
            needs.retain(|need| need.edge != self.0.number);
            if needs.is_empty() {
                edges.remove(from);
            }
        }
        if edges.is_empty() {
            // Nothing is left behind when no load needs another.
            *guard = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Numbers of their own, as other tests of this process draw edges too.
    const ONE: u64 = u64::MAX;
    const TWO: u64 = u64::MAX - 1;
    const THREE: u64 = u64::MAX - 2;

    #[test]
    fn a_load_is_inside_itself_until_its_frame_goes() {
        assert!(!is_inside(ONE));
        let outer = Frame::enter(ONE);
        let inner = Frame::enter(TWO);
        assert!(is_inside(ONE) && is_inside(TWO));
        drop(inner);
        assert!(is_inside(ONE) && !is_inside(TWO));
        drop(outer);
        assert!(!is_inside(ONE));
    }

    #[test]
    fn many_frames_are_known() {
        let frames: Vec<Frame> = (0..3 * NOTED as u64).map(|at| Frame::enter(ONE - at)).collect();
        assert!((0..3 * NOTED as u64).all(|at| is_inside(ONE - at)));
        drop(frames);
        assert!((0..3 * NOTED as u64).all(|at| !is_inside(ONE - at)));
        // Nor are they when others go as deep.
        let others: Vec<Frame> = (0..3 * NOTED as u64).map(|_| Frame::enter(THREE - 100)).collect();
        assert!((0..3 * NOTED as u64).all(|at| !is_inside(ONE - at)));
        drop(others);
    }

    #[test]
    fn outside_of_loads_nothing_is_noted() {
        assert!(matches!(need(ONE), Ok(None)));
    }

    #[test]
    fn a_cycle_is_refused_and_a_chain_is_not() {
        let one = Frame::enter(ONE);
        let one_needs_two = need(TWO);
        assert!(matches!(one_needs_two, Ok(Some(_))));
        drop(one);
        let two = Frame::enter(TWO);
        let two_needs_three = need(THREE);
        assert!(matches!(two_needs_three, Ok(Some(_))));
        drop(two);
        let three = Frame::enter(THREE);
        assert!(matches!(need(ONE), Err(Cycle)));
        drop(two_needs_three);
        assert!(matches!(need(ONE), Ok(Some(_))));
        drop(three);
    }
}
