//! Hash to stripe to entry. A stripe is one lock's worth of state, and each transition of it is whole or not at all; look-ups take
//! no lock. Nothing here waits, runs user code (key equality alone excepted) or reads a clock.
//!
//! `unsafe` lives in `node` and `slab` (memory of entries), `reader` (who is using what), `stripe` and `reclaim` (which join the two).

mod admit;
mod bucket;
mod chunk;
mod column;
mod evict;
mod expire;
mod flights;
mod graves;
mod groups;
mod growth;
#[cfg(feature = "write-behind")]
mod hold;
mod index;
mod leave;
mod lines;
mod locked;
mod node;
mod pin;
mod plain;
mod put;
mod reader;
mod reclaim;
mod slab;
mod stripe;
mod stripes;
mod transact;

pub(crate) use self::admit::Refusal;
pub(crate) use self::expire::Serving;
pub(crate) use self::flights::Ended;
pub(crate) use self::flights::Flight;
pub(crate) use self::flights::Landing;
pub(crate) use self::groups::Member;
pub(crate) use self::index::ordinal;
pub(crate) use self::lines::Line;
pub(crate) use self::locked::Locked;
pub(crate) use self::node::TIMED;
pub(crate) use self::pin::Pinned;
pub(crate) use self::plain::Look;
pub(crate) use self::plain::Written;
pub(crate) use self::reader::Reading;
pub(crate) use self::reclaim::Effects;
pub(crate) use self::stripe::Found;
pub(crate) use self::stripes::MOST_STRIPES;
pub(crate) use self::stripes::Table;
