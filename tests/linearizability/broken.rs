//! The checker notices: of each mechanism that keeps a promise, histories of a cache without it. How many it takes is printed.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use brindle::broken::Broken;
use brindle::broken::without;

use crate::checker::check;
use crate::plans::Setup;
use crate::schedules::histories;
use crate::schedules::setup_of;
use crate::setups::setups;

/// Histories within which it is noticed.
const MOST: u64 = 20_000;

/// Those that histories can show. (Others keep callers awake, memory alive or weights below the capacity.)
const MECHANISMS: &[Broken] = &[
    Broken::AtOnce,
    Broken::Borrowed,
    Broken::CheckedStore,
    Broken::Compare,
    Broken::Deadline,
    Broken::EndedGroup,
    Broken::EvictedRevision,
    Broken::Fence,
    Broken::Floor,
    Broken::Forgetful,
    Broken::Heard,
    Broken::Hidden,
    Broken::JudgedVersion,
    Broken::LateSeats,
    Broken::LeaseToken,
    Broken::LockedTogether,
    Broken::OneFlight,
    Broken::OneRemoval,
    Broken::OneWriter,
    Broken::Revision,
    Broken::SecondLook,
    Broken::Source,
    Broken::Tombstone,
    Broken::Turn,
    Broken::Unjoined,
];

/// After how many histories something is found to be wrong, and what. As in `histories_of_schedules_are_linearizable`, every kind of cache
/// has its turn.
fn noticed(setups: &[Setup], mechanism: Broken) -> Option<(u64, String)> {
    let mut looked = 0;
    for seed in 1.. {
        let setup = setup_of(setups, seed);
        let found = catch_unwind(AssertUnwindSafe(|| without(mechanism, || histories(setup, seed))));
        let Ok(found) = found else { return Some((looked + 1, format!("{}: a panic", setup.name))) };
        for history in found {
            looked += 1;
            if let Err(rejected) = check(&history, &setup.rules) {
                return Some((looked, format!("{}: {:?}", setup.name, rejected.why)));
            }
        }
        if looked >= MOST {
            break;
        }
    }
    None
}

#[test]
fn every_broken_mechanism_is_noticed() {
    let setups = setups();
    let mut unnoticed = Vec::new();
    for &mechanism in MECHANISMS {
        match noticed(&setups, mechanism) {
            Some((histories, what)) => println!("{mechanism:?}: {histories} histories ({what})"),
            None => unnoticed.push(mechanism),
        }
    }
    assert!(unnoticed.is_empty(), "unnoticed: {unnoticed:?}");
}
