//! Who plays: real caches and simulated policies.

use super::policies;
use super::policies::Simulated;
use super::trace::Trace;
use crate::contenders;
use crate::contenders::Contender;

#[derive(Clone, Copy)]
pub enum Player {
    Real(&'static Contender),
    Simulated(&'static Simulated),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Brindle.
    Own,
    /// The other caches that can be had.
    Peer,
    Simulated,
    /// What no cache can do better.
    Optimum,
}

const OWN: &str = "brindle";

impl Player {
    pub fn name(self) -> &'static str {
        match self {
            Self::Real(contender) => contender.name,
            Self::Simulated(policy) => policy.name,
        }
    }

    pub fn role(self) -> Role {
        match self {
            Self::Real(contender) if contender.name == OWN => Role::Own,
            Self::Real(_) => Role::Peer,
            Self::Simulated(policy) if policy.is_optimum => Role::Optimum,
            Self::Simulated(_) => Role::Simulated,
        }
    }

    /// Whether to play it. A real cache that cannot weigh says so when it is built.
    pub fn takes(self, trace: &Trace, threads: usize) -> bool {
        match self {
            Self::Real(_) => true,
            Self::Simulated(policy) => threads == 1 && policy.takes(trace),
        }
    }
}

/// All, or Brindle and those named.
pub fn players(names: Option<&[String]>) -> Result<Vec<Player>, String> {
    let caches = contenders::ALL.iter().chain(contenders::ONLY_REPLAYED);
    // One that has more room only while it lags is waited for.
    let bounded = caches.filter(|contender| contender.is_cache() && (contender.lags || !contender.more_room));
    let mut players: Vec<_> = bounded.map(Player::Real).chain(policies::ALL.iter().map(Player::Simulated)).collect();
    if let Some(names) = names {
        let known: Vec<_> = players.iter().map(|player| player.name()).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("no contender {unknown:?}; there are: {}", known.join(", ")));
        }
        players.retain(|player| player.role() == Role::Own || names.iter().any(|name| name == player.name()));
    }
    Ok(players)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_keep_to_a_capacity_play() {
        let players = players(None).expect("no name is wrong");
        let plays = |name| players.iter().any(|player| player.name() == name);
        assert!(["brindle", "moka", "stretto", "foyer LFU", "LRU"].into_iter().all(plays));
        assert!(!["scc", "dashmap", "moka async"].into_iter().any(plays));
        assert_eq!(players[0].role(), Role::Own);
    }
}
