//! A step of a run: which it is, and the numbers that it draws on.

use crate::common::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Commit,
    /// A commit that the source tells of at once.
    News,
    Event,
    InvalidateAt,
    Insert,
    Update,
    Swap,
    Invalidate,
    Remove,
    RemoveIf,
    KeepIf,
    Retain,
    Clear,
    EndGroup,
    Transaction,
    Lease,
    LeaseRead,
    LeaseFill,
    LeaseFail,
    LeaseDrop,
    Load,
    Reload,
    LoadMany,
    WriteThrough,
    Poll,
    DropTask,
    Background,
    DropBackground,
    SlotRead,
    SlotEnd,
    SlotFail,
    Advance,
    Get,
    GetMany,
    GetWith,
    Iterate,
    Capacity,
}

/// As often as they are named here.
const KINDS: &[Kind] = &[
    Kind::Commit,
    Kind::Commit,
    Kind::Commit,
    Kind::News,
    Kind::News,
    Kind::News,
    Kind::Event,
    Kind::Event,
    Kind::Event,
    Kind::InvalidateAt,
    Kind::InvalidateAt,
    Kind::InvalidateAt,
    Kind::Insert,
    Kind::Update,
    Kind::Swap,
    Kind::Invalidate,
    Kind::Remove,
    Kind::RemoveIf,
    Kind::KeepIf,
    Kind::Retain,
    Kind::Clear,
    Kind::EndGroup,
    Kind::EndGroup,
    Kind::Transaction,
    Kind::Transaction,
    Kind::Lease,
    Kind::Lease,
    Kind::LeaseRead,
    Kind::LeaseRead,
    Kind::LeaseFill,
    Kind::LeaseFill,
    Kind::LeaseFail,
    Kind::LeaseDrop,
    Kind::Load,
    Kind::Load,
    Kind::Load,
    Kind::Reload,
    Kind::Reload,
    Kind::LoadMany,
    Kind::WriteThrough,
    Kind::WriteThrough,
    Kind::Poll,
    Kind::Poll,
    Kind::Poll,
    Kind::Poll,
    Kind::Poll,
    Kind::Poll,
    Kind::DropTask,
    Kind::Background,
    Kind::Background,
    Kind::DropBackground,
    Kind::SlotRead,
    Kind::SlotRead,
    Kind::SlotRead,
    Kind::SlotEnd,
    Kind::SlotEnd,
    Kind::SlotEnd,
    Kind::SlotFail,
    Kind::Advance,
    Kind::Advance,
    Kind::Get,
    Kind::GetMany,
    Kind::GetWith,
    Kind::GetWith,
    Kind::Iterate,
    Kind::Capacity,
];

#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub kind: Kind,
    pub key: u8,
    pub dice: u64,
}

/// The kinds of one run: about half of all. What rarely meets in a run of everything meets often in one of little.
pub fn some(rng: &mut Rng) -> Vec<Kind> {
    let mut distinct = KINDS.to_vec();
    distinct.dedup();
    distinct.retain(|_| rng.below(2) == 0);
    let some: Vec<Kind> = KINDS.iter().copied().filter(|kind| distinct.contains(kind)).collect();
    if some.is_empty() { KINDS.to_vec() } else { some }
}

impl Step {
    pub fn draw(rng: &mut Rng, kinds: &[Kind]) -> Self {
        let kind = kinds[rng.below(kinds.len() as u64) as usize];
        Step { kind, key: rng.below(crate::choices::KEYS as u64) as u8, dice: rng.below(1 << 32) }
    }
}
