//! The builder's choices, as far as they change what a cache may do.

/// How well a cache remembers source versions of absent keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// There is room for all tombstones, and none is old enough to go: nothing is forgotten.
    Whole,
    /// One order, few tombstones: a floor takes the place of those that go. Nothing old comes back from a writer, but what is new may be
    /// refused for the sake of another key.
    Floors,
    /// An order for each key, few tombstones: while one is missing, writers of absent keys are refused whatever they bring.
    Forgetful,
}

/// The builder's choices, as far as they change what a cache may do.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Room is scarce: any entry may go at any time.
    pub evicts: bool,
    pub memory: Memory,
    /// A write at the source version that is there replaces it.
    pub replaces_equal: bool,
    pub time_to_live: Option<u64>,
    pub load_timeout: Option<u64>,
    /// Readers miss a key while it is written through the cache.
    pub hides_written: bool,
}
