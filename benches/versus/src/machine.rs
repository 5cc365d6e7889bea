//! Where and with what a run was made: the head of every report.

use std::fs;
use std::thread;

use crate::pin;

/// Names and what stands behind them.
pub type Head = Vec<(&'static str, String)>;

const LOCK: &str = include_str!("../Cargo.lock");
/// The crates under comparison, as their packages are called.
const CRATES: [&str; 12] = [
    "brindle",
    "quick_cache",
    "moka",
    "mini-moka",
    "foyer-memory",
    "TinyUFO",
    "stretto",
    "scc",
    "dashmap",
    "papaya",
    "hashbrown",
    "ahash",
];

/// Of a run with these arguments, at its end.
pub fn head(arguments: &[String]) -> Head {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let pinned =
        if pin::refused() { "not pinned: the system refused" } else { "each on a core of its own while there are enough" };
    vec![
        ("machine", format!("{}, {cores} cores", processor())),
        ("system", format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH)),
        ("load", load()),
        ("compiler", env!("COMPILER").to_owned()),
        ("crates", versions().join(", ")),
        ("threads", pinned.to_owned()),
        ("arguments", arguments.join(" ")),
        ("date", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()),
    ]
}

fn processor() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown processor".to_owned(), |(_, name)| name.to_owned())
}

/// How many programs wanted a core in the last minutes, this one included: with more than there are cores, figures are noise.
fn load() -> String {
    let told = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let averages: Vec<_> = told.split_whitespace().take(3).collect();
    if averages.is_empty() { "unknown".to_owned() } else { format!("{} (averages of 1, 5 and 15 minutes)", averages.join(", ")) }
}

/// Of two versions of a crate, the one that this package itself depends on is named by its line in the lock file.
fn versions() -> Vec<String> {
    CRATES.iter().map(|name| format!("{name} {}", version(name))).collect()
}

fn version(name: &str) -> &'static str {
    let packages = || LOCK.split("[[package]]");
    let of =
        |package: &'static str, field: &str| package.lines().find_map(|line| line.strip_prefix(field)?.trim_matches('"').into());
    let own = packages().find(|package| of(package, "name = ") == Some(env!("CARGO_PKG_NAME"))).unwrap_or_default();
    let chosen = own.lines().find_map(|line| line.trim().strip_prefix(&format!("\"{name} "))?.strip_suffix("\","));
    let any = || packages().find(|package| of(package, "name = ") == Some(name)).and_then(|package| of(package, "version = "));
    chosen.or_else(any).unwrap_or("of an unknown version")
}

#[cfg(test)]
mod tests {
    use super::CRATES;
    use super::version;

    #[test]
    fn every_crate_has_a_version() {
        for name in CRATES {
            assert!(version(name).starts_with(|first: char| first.is_ascii_digit()), "{name} is {}", version(name));
        }
        assert!(version("dashmap").starts_with("6."), "not the one that a peer depends on");
    }
}
