//! A measured figure, and the tables they stand in.

/// What one contender showed in one row.
pub struct Record {
    pub table: Table,
    pub row: String,
    pub contender: &'static str,
    pub figures: Vec<(&'static str, f64)>,
}

impl Record {
    /// Not a number if there is none of this name.
    pub fn figure(&self, name: &str) -> f64 {
        self.figures.iter().find(|figure| figure.0 == name).map_or(f64::NAN, |figure| figure.1)
    }

    /// The quartiles of the figure of this name, if it is a median.
    pub fn quartiles(&self, name: &str) -> Option<(f64, f64)> {
        let (below, above) = (self.figure(&format!("{name}_q1")), self.figure(&format!("{name}_q3")));
        (!below.is_nan() && !above.is_nan()).then_some((below, above))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Speed,
    ByHand,
    HitRatio,
    Accepted,
    Loads,
    Latency,
    Memory,
    Lifetime,
    Idle,
}

/// A figure in which one contender may be ahead of another.
pub struct Contest {
    pub figure: &'static str,
    /// What it counts, for people.
    pub unit: &'static str,
    pub more_is_better: bool,
    /// A lead of no more than this is none.
    pub slack: f64,
}

impl Contest {
    const fn more(figure: &'static str, unit: &'static str) -> Self {
        Self { figure, unit, more_is_better: true, slack: 0.0 }
    }

    const fn less(figure: &'static str, unit: &'static str) -> Self {
        Self { more_is_better: false, ..Self::more(figure, unit) }
    }

    /// How far the first figure is ahead of the second.
    pub fn lead(&self, one: f64, other: f64) -> f64 {
        if self.more_is_better { one - other } else { other - one }
    }
}

impl Table {
    pub const ALL: [Self; 9] = [
        Self::Speed,
        Self::ByHand,
        Self::HitRatio,
        Self::Accepted,
        Self::Loads,
        Self::Latency,
        Self::Memory,
        Self::Lifetime,
        Self::Idle,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::ByHand => "by-hand",
            Self::HitRatio => "hit-ratio",
            Self::Accepted => "accepted",
            Self::Loads => "loads",
            Self::Latency => "latency",
            Self::Memory => "memory",
            Self::Lifetime => "lifetime",
            Self::Idle => "idle",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Speed => {
                "Speed over quick_cache (or over quick_cache behind a gate), median of the rounds (quartiles); in brackets the \
                 nanoseconds of an operation of one thread"
            }
            Self::ByHand => {
                "Time over the contender's own `get` (warm), or `get` and `insert` (cold), median of the rounds (quartiles); in \
                 brackets the nanoseconds of those"
            }
            Self::HitRatio => "Hits, percent of the reads",
            Self::Accepted => "Versioned writes that were accepted, percent",
            Self::Loads => "Loads of a stampede: one is enough",
            Self::Latency => {
                "Latency in the read-through run, nanoseconds, the clock's own included: p50 / p90 / p99 / p99.9 / p99.99"
            }
            Self::Memory => {
                "Bytes beyond key and value of an entry, u64 to u64, and in brackets its allocations: when first filled / after \
                 ten times its capacity of further inserts, two million at most"
            }
            Self::Lifetime => {
                "Nanoseconds for each entry to build and fill a cache / to drop it, median of the rounds (quartiles); u64 to u64"
            }
            Self::Idle => "An empty cache that nobody uses: bytes / threads of its own / microseconds a second that they run",
        }
    }

    pub fn plot_title(self) -> &'static str {
        match self {
            Self::Speed => "Speed over quick_cache (behind a gate where writes are versioned): more is better",
            Self::ByHand => "Time over the contender's own get (and insert): 1 is the same",
            Self::HitRatio => "Hits, percent of the reads: more is better",
            Self::Accepted => "Versioned writes that were accepted, percent",
            Self::Loads => "Loads of a stampede: 1 is enough",
            Self::Latency => "Latency in the read-through run: less is better",
            Self::Memory => "Bytes beyond key and value, and allocations, of an entry: less is better",
            Self::Lifetime => "Nanoseconds an entry to build and to drop a cache: less is better",
            Self::Idle => "An empty cache that nobody uses: less is better",
        }
    }

    /// The figures that are drawn as bars.
    pub fn plotted(self) -> &'static [&'static str] {
        match self {
            Self::Speed => &["ratio"],
            Self::ByHand => &["times"],
            Self::HitRatio => &["hit_percent"],
            Self::Accepted => &["accepted_percent"],
            Self::Loads => &["loads"],
            Self::Latency => &[],
            Self::Memory => &["first_filled", "steady", "allocations_steady"],
            Self::Lifetime => &["build", "drop"],
            Self::Idle => &["bytes", "threads", "cpu_us_a_second"],
        }
    }

    pub fn cell(self, record: &Record) -> String {
        let figure = |name| record.figure(name);
        let spread = |name: &str, digits: usize| {
            let (below, above) = record.quartiles(name).unwrap_or_default();
            format!("**{:.digits$}** ({below:.digits$}–{above:.digits$})", record.figure(name))
        };
        match self {
            Self::Speed => format!("{} [{:.1}]", spread("ratio", 2), figure("ns")),
            Self::ByHand => format!("{} [{:.1}]", spread("times", 2), figure("ns")),
            Self::HitRatio => format!("{:.2}", figure("hit_percent")),
            Self::Accepted => format!("{:.2}", figure("accepted_percent")),
            Self::Loads => format!("{:.2}", figure("loads")),
            Self::Latency => record.figures.iter().map(|(_, nanos)| format!("{nanos:.0}")).collect::<Vec<_>>().join(" / "),
            Self::Memory => format!(
                "{:.1} [{:.2}] / {:.1} [{:.2}]",
                figure("first_filled"),
                figure("allocations_first_filled"),
                figure("steady"),
                figure("allocations_steady")
            ),
            Self::Lifetime => format!("{} / {}", spread("build", 0), spread("drop", 0)),
            Self::Idle => format!("{:.0} / {:.0} / {:.0}", figure("bytes"), figure("threads"), figure("cpu_us_a_second")),
        }
    }

    /// What the contenders are compared by. Times over a contender's own are no comparison with another's, nor is it better to accept more.
    pub fn contests(self) -> &'static [Contest] {
        const fn less(figure: &'static str, unit: &'static str) -> Contest {
            Contest::less(figure, unit)
        }
        match self {
            Self::Speed => const { &[Contest::more("ratio", "times the reference's speed")] },
            Self::ByHand | Self::Accepted => &[],
            Self::HitRatio => const { &[Contest { slack: 0.05, ..Contest::more("hit_percent", "percent of the reads") }] },
            Self::Loads => const { &[less("loads", "loads")] },
            Self::Latency => {
                const { &[less("p50", "ns"), less("p90", "ns"), less("p99", "ns"), less("p99.9", "ns"), less("p99.99", "ns")] }
            }
            Self::Memory => const { &[less("first_filled", "bytes an entry"), less("steady", "bytes an entry")] },
            Self::Lifetime => const { &[less("build", "ns an entry"), less("drop", "ns an entry")] },
            Self::Idle => const { &[less("bytes", "bytes"), less("threads", "threads"), less("cpu_us_a_second", "µs a second")] },
        }
    }
}
