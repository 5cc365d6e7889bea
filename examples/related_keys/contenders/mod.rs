//! The caches and ways of writing that are compared, behind one small face.

mod brindle;
mod moka;

use crate::common::error::Error;
use crate::database::Reader;
use crate::fragment::Fragment;
use crate::fragment::Key;

/// A cache in front of the database.
pub(crate) trait Contender: Sync {
    fn name(&self) -> &'static str;

    /// Must it never show a mix?
    fn promises(&self) -> bool;

    /// The fragment, from the cache or else from the database.
    fn read(&self, order: u64, key: Key, database: &Reader) -> Result<Fragment, Error>;

    /// What the cache has of these keys at one moment; `None` if they are to be read one by one.
    fn look(&self, _keys: &[Key]) -> Option<Vec<Option<Fragment>>> {
        None
    }

    /// The order's change is committed. When this returns, `key` has its new value in the cache, and `related` have no old one.
    fn written(&self, key: Key, value: Fragment, related: &[Key]);
}

/// All of them, each with room for `capacity` values.
pub(crate) fn all(capacity: usize) -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(moka::Moka::new(capacity)),
        Box::new(brindle::Brindle::one_by_one(capacity)),
        Box::new(brindle::Brindle::at_once(capacity)),
        Box::new(brindle::Brindle::at_once_with_snapshots(capacity)),
    ]
}
