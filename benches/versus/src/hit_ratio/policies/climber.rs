//! Walks a cache's window towards more hits: the hill climber of Einziger, Eytan, Friedman and Manes, "Adaptive Software Cache
//! Management", Middleware '18, with the steps that Caffeine takes.

/// The first step, as a share of the cache.
const STEP: f64 = 0.0625;
const DECAY: f64 = 0.98;
/// A change of the hit ratio after which steps are long again.
const RESTART: f64 = 0.05;

pub struct Climber {
    first_step: f64,
    step: f64,
    period: u64,
    requests: u64,
    hits: u64,
    ratio: f64,
}

impl Climber {
    /// For a cache of that capacity, which holds that many entries.
    pub fn new(capacity: u64, entries: u64) -> Self {
        let first_step = STEP * capacity as f64;
        Self { first_step, step: -first_step, period: 10 * entries, requests: 0, hits: 0, ratio: 0.0 }
    }

    /// By how much the window is to grow now.
    pub fn observe(&mut self, hit: bool) -> Option<f64> {
        self.requests += 1;
        self.hits += u64::from(hit);
        (self.requests >= self.period).then(|| self.climb())
    }

    fn climb(&mut self) -> f64 {
        let ratio = self.hits as f64 / self.requests as f64;
        let change = ratio - self.ratio;
        let amount = if change >= 0.0 { self.step } else { -self.step };
        self.step = if change.abs() >= RESTART { self.first_step.copysign(amount) } else { DECAY * amount };
        self.ratio = ratio;
        (self.requests, self.hits) = (0, 0);
        amount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(climber: &mut Climber, hits: u64) -> f64 {
        let grown: Vec<f64> = (0..10).filter_map(|n| climber.observe(n < hits)).collect();
        let [amount] = grown[..] else { panic!("one step a period, not {grown:?}") };
        amount
    }

    #[test]
    fn it_goes_on_while_that_helps_and_turns_when_it_hurts() {
        let mut climber = Climber::new(16, 1);
        assert_eq!(period(&mut climber, 5), -1.0);
        assert_eq!(period(&mut climber, 6), -1.0, "a big change: long steps");
        assert_eq!(period(&mut climber, 6), -1.0);
        assert_eq!(period(&mut climber, 6), -DECAY, "no change: shorter ones");
        assert_eq!(period(&mut climber, 2), DECAY * DECAY, "worse: the other way");
        assert_eq!(period(&mut climber, 2), 1.0);
    }
}
