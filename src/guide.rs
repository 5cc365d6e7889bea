//! Longer explanations, for those who want to know why a thing is as it is. Documentation alone.

#[doc = include_str!("guide/what_a_hit_costs.md")]
pub mod what_a_hit_costs {}
