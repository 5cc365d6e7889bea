//! A measured figure, and the tables they stand in.

/// What one contender showed in one row.
pub struct Record {
    pub table: Table,
    pub row: String,
    pub contender: &'static str,
    pub figures: Vec<(&'static str, f64)>,
}

impl Record {
    pub fn figure(&self, name: &str) -> f64 {
        self.figures.iter().find(|figure| figure.0 == name).map_or(f64::NAN, |figure| figure.1)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Speed,
    ByHand,
    HitRatio,
    Loads,
    Latency,
    Memory,
}

impl Table {
    pub const ALL: [Self; 6] = [Self::Speed, Self::ByHand, Self::HitRatio, Self::Loads, Self::Latency, Self::Memory];

    pub fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::ByHand => "by-hand",
            Self::HitRatio => "hit-ratio",
            Self::Loads => "loads",
            Self::Latency => "latency",
            Self::Memory => "memory",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Speed => {
                "Speed over quick_cache, median of the rounds (quartiles); in brackets the nanoseconds of an \
                 operation on one thread"
            }
            Self::ByHand => {
                "Time over the contender's own `get` (warm), or `get` and `insert` (cold), median of the rounds (quartiles); in \
                 brackets the nanoseconds of those"
            }
            Self::HitRatio => "Hits, percent of the reads",
            Self::Loads => "Loads of a stampede: one is enough",
            Self::Latency => "Latency of a get in the read-through run, nanoseconds, the clock's own included: p50 / p99 / p99.9",
            Self::Memory => {
                "Bytes beyond key and value of an entry, u64 to u64: when first filled / after ten times its \
                 capacity of further inserts"
            }
        }
    }

    pub fn cell(self, record: &Record) -> String {
        let figure = |name| record.figure(name);
        match self {
            Self::Speed => {
                format!("**{:.2}** ({:.2}–{:.2}) [{:.1}]", figure("ratio"), figure("ratio_q1"), figure("ratio_q3"), figure("ns"))
            }
            Self::ByHand => {
                format!("**{:.2}** ({:.2}–{:.2}) [{:.1}]", figure("times"), figure("times_q1"), figure("times_q3"), figure("ns"))
            }
            Self::Loads => format!("{:.2}", figure("loads")),
            Self::HitRatio => format!("{:.2}", figure("hit_percent")),
            Self::Latency => {
                format!("{:.0} / {:.0} / {:.0}", figure("p50"), figure("p99"), figure("p99.9"))
            }
            Self::Memory => format!("{:.1} / {:.1}", figure("first_filled"), figure("steady")),
        }
    }
}
