//! An upper bound of what any cache can serve of a trace with sizes, where the optimum itself is out of reach: PFOO, of Berger,
//! Beckmann and Harchol-Balter, "Practical Bounds on Optimal Caching with Variable Object Sizes", SIGMETRICS '18. Each hit costs the
//! size of its key for the time since the key was asked for last. The cheapest hits that cost together no more than the cache has
//! over the whole trace are more than a cache can get, as it may not spend at one time what it saved at another.

use crate::hit_ratio::served::Served;
use crate::hit_ratio::trace::Trace;

pub fn bound(trace: &Trace, capacity: u64) -> Served {
    let weights = trace.weights();
    let mut served = Served::default();
    let mut last_uses = vec![None; trace.keys.len()];
    let mut hits = Vec::new();
    for (now, &key) in trace.requests.iter().enumerate() {
        let weight = weights.of(key);
        served.count(weight, false);
        if let Some(last) = last_uses[key as usize].replace(now)
            && weight <= capacity
        {
            hits.push(((now - last) as u64 * weight, weight));
        }
    }
    hits.sort_unstable();

    let mut budget = u128::from(capacity) * trace.requests.len() as u128;
    for (cost, weight) in hits {
        let Some(rest) = budget.checked_sub(u128::from(cost)) else { break };
        budget = rest;
        served.hits += 1;
        served.weight_hit += weight;
    }
    served
}
