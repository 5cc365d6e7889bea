//! What came out: a row a trace, size and number of threads, and in it a cell a player.

use super::field::Role;
use super::served::Served;
use super::trace::Trace;

pub struct Results {
    pub players: Vec<(&'static str, Role)>,
    pub rows: Vec<Row>,
}

pub struct Row {
    pub trace: String,
    pub is_sized: bool,
    pub percent: Option<u32>,
    pub capacity: u64,
    pub threads: usize,
    /// The requests suffice for a policy to settle: ten for each entry that there is room for.
    pub settles: bool,
    /// By player; nothing for those who do not take such a trace.
    pub served: Vec<Option<Served>>,
}

impl Row {
    pub fn new(trace: &Trace, percent: Option<u32>, capacity: u64, threads: usize, players: usize) -> Self {
        Self {
            trace: trace.name.clone(),
            is_sized: trace.is_sized(),
            percent,
            capacity,
            threads,
            settles: trace.requests.len() as u64 >= 10 * trace.entries(capacity),
            served: vec![None; players],
        }
    }

    /// The hit ratio of a player, in percent.
    pub fn ratio(&self, player: usize) -> Option<f64> {
        self.served[player].map(|served| served.percent())
    }

    pub fn size(&self) -> String {
        match self.percent {
            Some(percent) => format!("{percent} % = {}", self.capacity),
            None => self.capacity.to_string(),
        }
    }
}

impl Results {
    /// The places of the players in that role.
    pub fn in_role(&self, role: Role) -> impl Iterator<Item = usize> {
        (0..self.players.len()).filter(move |&player| self.players[player].1 == role)
    }

    pub fn place(&self, name: &str) -> Option<usize> {
        self.players.iter().position(|player| player.0 == name)
    }

    /// The best of those in a role, in one row: who, and the hit ratio. Who has more than the optimum is passed over.
    pub fn best(&self, row: &Row, role: Role) -> Option<(usize, f64)> {
        let ratios = self.in_role(role).filter_map(|player| Some((player, row.ratio(player)?)));
        ratios.filter(|&(_, ratio)| !self.is_impossible(row, ratio)).max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// More than the optimum is only had by one who holds more than he may.
    pub fn is_impossible(&self, row: &Row, ratio: f64) -> bool {
        self.in_role(Role::Optimum).filter_map(|player| row.ratio(player)).any(|optimum| ratio > optimum)
    }
}
