//! The middle of some figures, and how far they lie apart.

#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub quarter: f64,
    pub median: f64,
    pub three_quarters: f64,
}

impl Spread {
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Self { quarter: quantile(&figures, 0.25), median: quantile(&figures, 0.5), three_quarters: quantile(&figures, 0.75) }
    }

    /// By the names of the median and of the quartiles below and above it.
    pub fn figures(self, [median, below, above]: [&'static str; 3]) -> [(&'static str, f64); 3] {
        [(median, self.median), (below, self.quarter), (above, self.three_quarters)]
    }
}

/// Of figures in order.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    below + (above - below) * position.fract()
}
