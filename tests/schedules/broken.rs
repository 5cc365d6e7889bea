//! The scenes notice: with a mechanism taken out of the cache, the scene that is there for it fails. The table tells which, and prints
//! after how many schedules.

use brindle::broken::Broken;

use super::play::fails_without;

const MISSED: &[(Broken, &str)] = &[
    (Broken::AddedWeight, "bounded::writers_of_all_stripes_fit_together"),
    (Broken::Circles, "loads::loads_that_need_each_other_do_not_wait_for_ever"),
    (Broken::CurrentOnly, "writes::a_walk_sees_nothing_that_was_gone_before"),
    (Broken::DroppedLease, "leases::a_lease_that_is_dropped_goes_to_the_next"),
    (Broken::Fence, "loads::nothing_from_before_an_invalidation_is_got_after_it"),
    (Broken::JudgedVersion, "writes::retain_judges_all_that_was_there"),
    (Broken::LateSeats, "groups::nothing_of_a_group_from_before_its_end_is_got_after_it"),
    (Broken::LockOrder, "transactions::opposite_orders_do_not_wait_for_each_other"),
    (Broken::LockedTogether, "snapshots::a_snapshot_sees_keys_that_come_and_go_together"),
    (Broken::OneWriter, "turns::writers_of_one_key_take_turns"),
    (Broken::TurnWakes, "turns::writers_of_one_key_take_turns"),
    (Broken::AtOnce, "snapshots::a_snapshot_sees_all_of_a_transaction_or_nothing"),
    (Broken::Borrowed, "order::a_floor_keeps_no_old_value"),
    (Broken::Heard, "order::a_floor_keeps_no_old_value"),
    (Broken::CheckedStore, "loads::a_load_that_a_write_overtook_yields_to_it"),
    (Broken::Compare, "swaps::of_those_who_expect_one_version_one_wins"),
    (Broken::Deadline, "expiry::nobody_reads_what_has_expired"),
    (Broken::EndedGroup, "groups::nothing_of_a_group_from_before_its_end_is_got_after_it"),
    (Broken::EvictedRevision, "writes::no_version_is_used_twice"),
    (Broken::Floor, "order::eviction_and_clear_forget_no_source"),
    (Broken::Hidden, "transactions::who_saw_a_new_value_sees_no_old_one"),
    (Broken::LeaseToken, "leases::an_overdue_lease_is_taken_over_and_stores_nothing_more"),
    (Broken::OneFlight, "loads::all_who_miss_at_once_share_one_load"),
    (Broken::OneRemoval, "loads::nothing_from_before_an_invalidation_is_got_after_it"),
    (Broken::Revision, "writes::no_version_is_used_twice"),
    (Broken::SecondLook, "snapshots::a_snapshot_beside_single_writes_is_of_one_moment"),
    (Broken::SlotLast, "reads::the_short_way_sees_nothing_before_the_long_way"),
    (Broken::Source, "order::the_newest_stays_whoever_comes_last"),
    (Broken::Tombstone, "order::a_load_of_an_older_state_is_not_stored"),
    (Broken::Unjoined, "loads::nothing_from_before_an_invalidation_is_got_after_it"),
    #[cfg(feature = "write-behind")]
    (Broken::HeldEntries, "behind::what_is_pending_is_neither_evicted_nor_loaded_over"),
    #[cfg(feature = "write-behind")]
    (Broken::OneDriver, "behind::a_batch_that_fails_is_written_again"),
];

#[test]
fn what_is_broken_is_noticed() {
    let notices = |&(mechanism, scene): &(Broken, &str)| {
        let after = fails_without(mechanism, scene);
        println!(
            "{mechanism:?}: {scene}: {}",
            after.map_or("not noticed".to_string(), |after| format!("fails in schedule {after}"))
        );
        after.is_some()
    };
    assert_eq!(MISSED.iter().filter(|missed| !notices(missed)).collect::<Vec<_>>(), Vec::<&(Broken, &str)>::new());
}
