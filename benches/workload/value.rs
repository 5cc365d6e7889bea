//! Values that tell which key they were stored under, so that every answer can be checked.

use std::sync::Arc;

pub trait Value: Clone + Send + Sync + 'static {
    /// The value of the key with this token.
    fn of(token: u64) -> Self;
    fn belongs_to(&self, token: u64) -> bool;
}

impl Value for u64 {
    fn of(token: u64) -> Self {
        !token
    }

    fn belongs_to(&self, token: u64) -> bool {
        *self == !token
    }
}

impl Value for Arc<u64> {
    fn of(token: u64) -> Self {
        Arc::new(!token)
    }

    fn belongs_to(&self, token: u64) -> bool {
        **self == !token
    }
}

/// A kibibyte, copied with every clone.
#[derive(Clone)]
pub struct Kibibyte([u64; 128]);

impl Value for Kibibyte {
    fn of(token: u64) -> Self {
        Self([!token; 128])
    }

    /// Its ends tell of a value that is torn.
    fn belongs_to(&self, token: u64) -> bool {
        let Self([first, .., last]) = self;
        (*first, *last) == (!token, !token)
    }
}
