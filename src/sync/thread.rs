//! A small number for each live thread, the same for every cache, taken at the thread's first call and given back when it ends.
//! Per-thread state can so live in arrays that other threads may walk, instead of in maps.

use std::cell::Cell;

use super::barrier;
use super::platform::IS_MODELLED;
use super::platform::Mutex;
use super::platform::global;
use super::platform::thread_local;

/// Where a thread's cell lies in arrays whose segments double: segment `s` holds `FIRST << s` cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl Place {
    /// Cells in the first segment.
    pub(crate) const FIRST: usize = 4;
    /// Segments enough for every thread number that fits.
    pub(crate) const SEGMENTS: usize = 24;

    /// Cells in `segment`.
    pub(crate) const fn cells(segment: usize) -> usize {
        Self::FIRST << segment
    }

    /// The calling thread's place; `None` when the thread is being torn down or too many threads live.
    pub(crate) fn of_this_thread() -> Option<Place> {
        let place = PLACE.with(Cell::get);
        if place.segment < Self::SEGMENTS as u32 { Some(place) } else { Self::take(place) }
    }

    #[cold]
    #[inline(never)]
    fn take(now: Place) -> Option<Place> {
        if now != UNTAKEN {
            return None;
        }
        barrier::prepare();
        let number = NUMBERS.lock().take();
        let place = Self::of_number(number);
        // A thread that is past its destructors gives the number straight back.
        if place.segment >= Self::SEGMENTS as u32 || RETURN.try_with(|r| r.number.set(Some(number))).is_err() {
            NUMBERS.lock().give_back(number);
            return None;
        }
        PLACE.with(|own| own.set(place));
        Some(place)
    }

    fn of_number(number: usize) -> Place {
        let shifted = number + Self::FIRST;
        let segment = shifted.ilog2() - Self::FIRST.ilog2();
        Place { segment, offset: (shifted - Self::cells(segment as usize)) as u32 }
    }
}

const UNTAKEN: Place = Place { segment: u32::MAX, offset: 0 };
const GONE: Place = Place { segment: u32::MAX, offset: 1 };

/// What a thread found last, to be found again without a search: something of the owner with this number, at this address. Only its
/// thread reads it, and only for an owner that is alive; numbers are never used twice.
#[derive(Clone, Copy)]
pub(crate) struct Recent {
    pub(crate) owner: u64,
    pub(crate) address: *const (),
}

impl Recent {
    const NOTHING: Recent = Recent { owner: 0, address: std::ptr::null() };

    #[inline(always)]
    pub(crate) fn get() -> Recent {
        RECENT.with(Cell::get)
    }

    /// Remembers it until the thread gives its place back. Does nothing where the light barrier is a fence: the short way, which leaves
    /// it out, is found only by what is remembered here.
    pub(crate) fn remember(self) {
        if barrier::is_asymmetric() && PLACE.with(Cell::get).segment < Place::SEGMENTS as u32 {
            RECENT.with(|recent| recent.set(self));
        }
    }
}

thread_local! {
    static RECENT: Cell<Recent> = const { Cell::new(Recent::NOTHING) };
    static PLACE: Cell<Place> = const { Cell::new(UNTAKEN) };
    static RETURN: Return = const { Return { number: Cell::new(None) } };
}

/// Gives the thread's number back when the thread ends.
struct Return {
    number: Cell<Option<usize>>,
}

impl Drop for Return {
    fn drop(&mut self) {
        // They hold nothing that is to be dropped, so they are there to the last, but in a model.
        let _ = PLACE.try_with(|place| place.set(GONE));
        let _ = RECENT.try_with(|recent| recent.set(Recent::NOTHING));
        // At the end of a model's thread what is global may be gone, and it has few of them.
        if let Some(number) = self.number.take().filter(|_| !IS_MODELLED) {
            NUMBERS.lock().give_back(number);
        }
    }
}

global! {
    static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 0, free: Vec::new() });
}

/// The numbers in use are dense: a number given back is taken again before a new one is made. The lock also orders what the last
/// owner of a number wrote to its cells before what the next one reads there.
struct Numbers {
    next: usize,
    free: Vec<usize>,
}

impl Numbers {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    fn give_back(&mut self, number: usize) {
        self.free.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn places_are_dense_and_distinct() {
        let places: Vec<Place> = (0..1000).map(Place::of_number).collect();
        for (number, place) in places.iter().enumerate() {
            assert!((place.offset as usize) < Place::cells(place.segment as usize), "number {number}");
            assert!(places[..number].iter().all(|other| other != place), "number {number}");
        }
    }

    #[test]
    fn a_thread_keeps_its_place_and_gives_it_back() {
        let first = std::thread::spawn(|| (Place::of_this_thread(), Place::of_this_thread())).join().unwrap();
        assert!(first.0.is_some());
        assert_eq!(first.0, first.1);
    }
}
