//! Where a player stands over many rows, and where Brindle misses what it is held to.

use super::field::Role;
use super::policies::LRU;
use super::results::Results;
use super::results::Row;

/// How many points Brindle may be below the best of its peers in a row in which policies settle.
pub const BELOW_PEERS: f64 = 1.0;
/// And below LRU, in any row.
pub const BELOW_LRU: f64 = 0.5;

/// Over the rows in which a player takes part.
pub struct Standing {
    pub player: usize,
    pub mean: f64,
    /// Points below the optimum.
    pub gap: Option<f64>,
    /// The most points below the best peer, and in which row.
    pub worst: Option<(f64, usize)>,
    pub below_lru: usize,
}

/// A row in which Brindle is too far below another.
pub struct Miss<'a> {
    pub row: &'a Row,
    pub own: f64,
    pub other: &'static str,
    pub below: f64,
}

pub fn standings(results: &Results, rows: &[&Row]) -> Vec<Standing> {
    (0..results.players.len()).filter_map(|player| standing(results, rows, player)).collect()
}

fn standing(results: &Results, rows: &[&Row], player: usize) -> Option<Standing> {
    let ratios: Vec<_> = rows.iter().enumerate().filter_map(|(at, row)| Some((at, *row, row.ratio(player)?))).collect();
    let optimum = |row: &Row| results.best(row, Role::Optimum).map(|best| best.1);
    let lru = results.place(LRU);
    Some(Standing {
        player,
        mean: mean(ratios.iter().map(|&(_, _, ratio)| ratio))?,
        gap: mean(ratios.iter().filter_map(|&(_, row, ratio)| Some(optimum(row)? - ratio))),
        worst: ratios
            .iter()
            .filter_map(|&(at, row, ratio)| Some((results.best(row, Role::Peer)?.1 - ratio, at)))
            .max_by(|a, b| a.0.total_cmp(&b.0)),
        below_lru: ratios.iter().filter(|(_, row, ratio)| lru.and_then(|lru| row.ratio(lru)) > Some(ratio + BELOW_LRU)).count(),
    })
}

/// The mean of what the best peer of each row has.
pub fn best_of_each(results: &Results, rows: &[&Row], role: Role) -> Option<f64> {
    mean(rows.iter().filter_map(|row| results.best(row, role)).map(|best| best.1))
}

/// The worst first.
pub fn misses<'a>(results: &Results, rows: &[&'a Row]) -> Vec<Miss<'a>> {
    let Some(own) = results.in_role(Role::Own).next() else { return Vec::new() };
    let lru = results.place(LRU);
    let mut misses = Vec::new();
    for row in rows {
        let Some(ratio) = row.ratio(own) else { continue };
        let miss = |other: usize, better: f64| Miss { row, own: ratio, other: results.players[other].0, below: better - ratio };
        let peer = results.best(row, Role::Peer).filter(|best| row.settles && best.1 - ratio > BELOW_PEERS);
        misses.extend(peer.map(|(other, better)| miss(other, better)));
        let better = lru.and_then(|lru| Some((lru, row.ratio(lru)?))).filter(|lru| lru.1 - ratio > BELOW_LRU);
        misses.extend(better.map(|(other, better)| miss(other, better)));
    }
    misses.sort_by(|a, b| b.below.total_cmp(&a.below));
    misses
}

pub fn mean(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let figures: Vec<_> = figures.collect();
    (!figures.is_empty()).then(|| figures.iter().sum::<f64>() / figures.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hit_ratio::served::Served;
    use crate::hit_ratio::trace::Trace;

    fn results(rows: &[[u64; 4]]) -> Results {
        let players = vec![("brindle", Role::Own), ("peer", Role::Peer), (LRU, Role::Simulated), ("best", Role::Optimum)];
        let trace = Trace::new("t", (0..1_000).map(|n| n % 10));
        let row = |hits: &[u64; 4]| {
            let served = hits.map(|hits| Some(Served { requests: 1_000, hits, ..Served::default() })).to_vec();
            Row { served, ..Row::new(&trace, None, 5, 1, 4) }
        };
        Results { players, rows: rows.iter().map(row).collect() }
    }

    #[test]
    fn means_gaps_and_worst_rows() {
        let results = results(&[[500, 600, 400, 700], [300, 200, 310, 400]]);
        let rows: Vec<_> = results.rows.iter().collect();
        let standings = standings(&results, &rows);
        let own = &standings[0];
        assert_eq!((own.mean, own.gap, own.below_lru), (40.0, Some(15.0), 1));
        assert_eq!(own.worst, Some((10.0, 0)));
        assert_eq!(standings[1].below_lru, 1);
        assert_eq!(best_of_each(&results, &rows, Role::Peer), Some(40.0));
    }

    #[test]
    fn a_miss_is_more_than_what_is_allowed() {
        let results = results(&[[500, 510, 505, 900], [500, 511, 506, 900], [500, 560, 0, 900]]);
        let mut rows: Vec<_> = results.rows.iter().collect();
        let others = |rows: &[&Row]| misses(&results, rows).iter().map(|miss| miss.other).collect::<Vec<_>>();
        assert_eq!(others(&rows), ["peer", "peer", LRU]);
        rows.remove(1);
        assert_eq!(others(&rows), ["peer"]);
    }

    #[test]
    fn a_peer_ahead_where_nothing_settles_is_no_miss() {
        let mut results = results(&[[500, 600, 500, 900]]);
        results.rows[0].settles = false;
        assert!(misses(&results, &[&results.rows[0]]).is_empty());
    }
}
