//! All the stripes and all the readers: from hash to stripe, and from there to the entry.

use std::sync::Arc;

use equivalent::Equivalent;

use crate::config::StripeConfig;
use crate::event::Cause;
use crate::unwind::Panic;
use crate::unwind::keep_first;
use crate::unwind::resume;

use super::node::Node;
use super::pin::Pin;
use super::pin::Pinned;
use super::reader::FastReading;
use super::reader::Readers;
use super::reader::Reading;
use super::reclaim::Retired;
use super::stripe::Found;
use super::stripe::Stripe;

/// The bits of a hash that choose the stripe lie above those that a node keeps.
const STRIPE_SHIFT: u32 = super::node::HASH_BITS;
/// As many stripes as these bits can tell apart.
pub(crate) const MOST_STRIPES: usize = 1 << (u64::BITS - STRIPE_SHIFT);

/// Bytes.
const NEAR: usize = 2 << 20;

pub(crate) struct Table<K, V> {
    stripes: Box<[Stripe<K, V>]>,
    pub(crate) readers: Readers,
}

impl<K, V> Table<K, V> {
    /// `stripes` is a power of two, at most [`MOST_STRIPES`].
    pub(crate) fn new(stripes: usize, config: &StripeConfig, seed: u64) -> Self {
        let stripe = |number: usize| Stripe::new(config.clone(), seed.wrapping_add(number as u64));
        Table { stripes: (0..stripes).map(stripe).collect(), readers: Readers::new() }
    }

    #[inline(always)]
    pub(crate) fn stripe_of(&self, hash: u64) -> usize {
        (hash >> STRIPE_SHIFT) as usize & (self.stripes.len() - 1)
    }

    /// The stripe of `hash`.
    #[inline(always)]
    pub(crate) fn stripe(&self, hash: u64) -> &Stripe<K, V> {
        &self.stripes[self.stripe_of(hash)]
    }

    #[inline(always)]
    pub(crate) fn stripe_number(&self, number: usize) -> &Stripe<K, V> {
        &self.stripes[number]
    }

    /// Asks for the memory that the look-ups of these hashes will need: their buckets, then the nodes that the buckets lead to. Beyond the
    /// processor's caches look-ups wait for it together, then. Advice only: nothing that is found here is believed.
    pub(crate) fn prefetch(&self, hashes: impl Iterator<Item = u64> + Clone) {
        hashes.clone().for_each(|hash| self.stripe(hash).prefetch_bucket(hash));
        let reading = self.readers.enter();
        hashes.for_each(|hash| self.stripe(hash).prefetch_node(hash, &reading));
    }

    /// Are the nodes in use more than the nearer of the processor's caches usually hold?
    pub(crate) fn is_beyond_caches(&self) -> bool {
        // The stripes hold about as much as each other.
        self.stripes[0].entries() * self.stripes.len() * size_of::<Node<K, V>>() > NEAR
    }

    pub(crate) fn stripes(&self) -> &[Stripe<K, V>] {
        &self.stripes
    }

    /// The entry of `key`, expired or not, or the look-up that did not find it. Takes no lock.
    pub(crate) fn find<'a, Q>(&'a self, hash: u64, key: &Q, reading: Reading<'a>) -> Result<Found<'a, K, V>, Reading<'a>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.stripe(hash).find(hash, key, reading)
    }

    /// As `find`, but gives up early: an error is no miss.
    #[inline(always)]
    pub(crate) fn find_fast<'a, Q>(&'a self, hash: u64, key: &Q, reading: FastReading<'a>) -> Result<Found<'a, K, V>, Reading<'a>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.stripe(hash).find_fast(hash, key, reading)
    }

    /// Drops what stripe `number` has retired and nobody uses any more.
    pub(crate) fn reclaim(&self, number: usize) -> Result<(), Panic> {
        // Others that have much to reclaim join in: their barrier is saved.
        let others = self.stripes.iter().enumerate().filter(|&(other, _)| other != number);
        let others = others.filter_map(|(_, stripe)| stripe.gather_if_many());
        Retired::reclaim(|| self.stripe_number(number).gather().into_iter().chain(others).collect(), &self.readers)
    }

    /// Drops what every stripe has retired and nobody uses any more.
    pub(crate) fn reclaim_all(&self) -> Result<(), Panic> {
        Retired::reclaim(|| self.stripes.iter().filter_map(Stripe::gather).collect(), &self.readers)
    }

    /// Drops every entry that no guard holds. Nobody is told.
    pub(crate) fn close(&self) {
        let mut panic = None;
        self.stripes.iter().for_each(|stripe| keep_first(&mut panic, stripe.close(&self.readers)));
        resume(panic.map_or(Ok(()), Err));
    }

    /// Makes a hold on an entry of stripe `number` one that can be kept.
    pub(crate) fn keep(self: &Arc<Self>, number: usize, pin: Pin<K, V>) -> Pinned<K, V> {
        Pinned::new(Arc::clone(self), number, pin)
    }

    /// Tells the listener of everything that left stripe `number`, in order, unless somebody else is at it.
    pub(crate) fn tell(self: &Arc<Self>, number: usize, listen: impl Fn(Pinned<K, V>, Cause)) {
        let stripe = self.stripe_number(number);
        let mut notices = stripe.start_telling();
        while let Some(batch) = notices {
            batch.into_iter().for_each(|(pin, cause)| listen(self.keep(number, pin), cause));
            notices = stripe.told();
        }
    }
}
