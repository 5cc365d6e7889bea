//! The configurations that steering chooses among.

use super::ghosts::Age;

/// How a stripe runs: the window's share of the weight, and the rule at the window's front.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Arm {
    /// In 1024ths.
    pub(super) share: u16,
    pub(super) rule: Rule,
}

/// What happens to the oldest entry of a window that is over its share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// The more frequent of candidate and main's victim stays (W-TinyLFU).
    Duel,
    /// Used entries go to main, others leave; a key that comes back soon enters main (S3-FIFO).
    Ghost,
    /// As `Ghost`, but coming back may take twice as long.
    DeepGhost,
}

impl Arm {
    pub(crate) const START: Arm = Arm::new(100, Rule::Duel);

    pub(super) const fn new(share: u16, rule: Rule) -> Self {
        Arm { share, rule }
    }

    /// The window's share of a total weight.
    #[inline]
    pub(super) fn share_of(self, total: u64) -> u64 {
        let share = u64::from(self.share);
        // In two parts, as the product of the whole may not fit.
        (total >> 10) * share + (((total & 1023) * share) >> 10)
    }

    /// Does a key that left so long ago enter main when it comes back?
    #[inline]
    pub(super) fn readmits(self, age: Age) -> bool {
        match self.rule {
            Rule::Duel => false,
            Rule::Ghost => age == Age::Young,
            Rule::DeepGhost => true,
        }
    }

    pub(crate) fn pack(self) -> u32 {
        u32::from(self.share) << 8 | self.rule as u32
    }

    #[inline]
    pub(crate) fn unpack(packed: u32) -> Self {
        let rule = match packed & 0xff {
            0 => Rule::Duel,
            1 => Rule::Ghost,
            _ => Rule::DeepGhost,
        };
        Arm::new((packed >> 8) as u16, rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        for rule in [Rule::Duel, Rule::Ghost, Rule::DeepGhost] {
            for share in [0, 10, 800, u16::MAX] {
                let arm = Arm::new(share, rule);
                assert_eq!(Arm::unpack(arm.pack()), arm);
            }
        }
    }
}
