//! The results as Markdown for people.

use std::fmt::Write;

use super::field::Role;
use super::grid;
use super::results::Results;
use super::results::Row;
use super::standing;
use super::standing::Standing;
use crate::machine::Head;

/// Rows that may be compared with each other.
struct Group<'a> {
    title: String,
    rows: Vec<&'a Row>,
    is_sized: bool,
}

pub fn markdown(head: &Head, results: &Results) -> String {
    let head: String = head.iter().map(|(name, what)| format!("- {name}: {what}\n")).collect();
    let mut page = format!("# Hit ratio, percent of the requests\n\n{head}\n{PREFACE}");
    for group in groups(results) {
        let parts = [table(results, &group), summary(results, &group), verdict(results, &group)];
        write!(page, "\n## {}\n\n{}", group.title, parts.join("\n")).expect("a string takes all");
    }
    let threads = threads(results);
    if !threads.is_empty() {
        write!(page, "\n## Threads against one\n\n{threads}").expect("a string takes all");
    }
    page
}

const PREFACE: &str = "\
Each cache is built as its users build it, asked with `get`, and given with `insert` what it misses. A size is a share of the
distinct keys (or of their weight). *Where fewer requests come than ten for each entry, a size stands like this.*
A figure above the optimum is in brackets, and counts for no comparison of single rows: that cache held more than it may, for it
evicts later than it inserts. One that would do so without end is waited for, whenever it may be a hundredth above its capacity.
";

fn groups(results: &Results) -> Vec<Group<'_>> {
    let mut groups: Vec<(bool, usize, Group<'_>)> = Vec::new();
    for row in &results.rows {
        match groups.iter_mut().find(|group| (group.0, group.1) == (row.is_sized, row.threads)) {
            Some((_, _, group)) => group.rows.push(row),
            None => {
                let what = if row.is_sized { "Traces with sizes" } else { "Traces" };
                let title = match row.threads {
                    1 => what.to_owned(),
                    threads => format!("{what}, {threads} threads"),
                };
                groups.push((row.is_sized, row.threads, Group { title, rows: vec![row], is_sized: row.is_sized }));
            }
        }
    }
    groups.sort_by_key(|group| (group.1, group.0));
    groups.into_iter().map(|group| group.2).collect()
}

/// Players that take part in any of these rows.
fn taking_part<'a>(results: &'a Results, rows: &'a [&Row]) -> impl Iterator<Item = usize> + 'a {
    (0..results.players.len()).filter(|&player| rows.iter().any(|row| row.served[player].is_some()))
}

fn table(results: &Results, group: &Group<'_>) -> String {
    let players: Vec<_> = taking_part(results, &group.rows).collect();
    let mut head = vec!["trace", "size"];
    head.extend(players.iter().map(|&player| results.players[player].0));
    let rows = group.rows.iter().map(|row| {
        let size = if row.settles { row.size() } else { format!("*{}*", row.size()) };
        let best =
            results.best(row, Role::Own).into_iter().chain(results.best(row, Role::Peer)).map(|best| best.1).reduce(f64::max);
        let ratios = players.iter().map(|&player| {
            let is_real = matches!(results.players[player].1, Role::Own | Role::Peer);
            match row.ratio(player) {
                Some(ratio) if is_real && Some(ratio) == best => format!("**{ratio:.2}**"),
                Some(ratio) if results.is_impossible(row, ratio) => format!("({ratio:.2})"),
                Some(ratio) => format!("{ratio:.2}"),
                None => String::new(),
            }
        });
        [row.trace.clone(), size].into_iter().chain(ratios).collect()
    });
    grid::markdown(&head, rows)
}

fn summary(results: &Results, group: &Group<'_>) -> String {
    let points = |points: Option<f64>| points.map_or(String::new(), |points| format!("{points:.2}"));
    let line = |standing: Standing| {
        let worst = standing.worst.map_or(String::new(), |(below, at)| {
            let row = group.rows[at];
            format!("{below:.2} ({}, {})", row.trace, row.size())
        });
        vec![
            results.players[standing.player].0.to_owned(),
            points(Some(standing.mean)),
            points(standing.gap),
            worst,
            standing.below_lru.to_string(),
        ]
    };
    let mut standings = standing::standings(results, &group.rows);
    standings.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    let mut rows: Vec<Vec<String>> = standings.into_iter().map(line).collect();
    if let Some(mean) = standing::best_of_each(results, &group.rows, Role::Peer) {
        let optimum = standing::best_of_each(results, &group.rows, Role::Optimum);
        let gap = optimum.map(|optimum| optimum - mean);
        rows.insert(
            0,
            vec!["*the best peer of each row*".to_owned(), points(Some(mean)), points(gap), String::new(), String::new()],
        );
    }
    let head = ["", "mean", "gap to the optimum", "worst below the best peer", "rows below LRU by 0.5"];
    format!("{} rows.\n\n{}", group.rows.len(), grid::markdown(&head, rows))
}

/// Brindle against what it is held to.
fn verdict(results: &Results, group: &Group<'_>) -> String {
    let standings = standing::standings(results, &group.rows);
    let mean = |role| {
        let in_role = standings.iter().filter(move |standing| results.players[standing.player].1 == role);
        in_role.max_by(|a, b| a.mean.total_cmp(&b.mean))
    };
    let (Some(own), Some(peer)) = (mean(Role::Own), mean(Role::Peer)) else { return String::new() };

    let ahead = own.mean - peer.mean;
    let name = results.players[peer.player].0;
    let mut page = if group.is_sized {
        let more = 100.0 * (own.mean / peer.mean - 1.0);
        let what = if more < 0.0 { "fewer" } else { "more" };
        format!("Brindle serves {:.1} % {what} requests than the best peer, {name}. Wanted: 8 % more.\n", more.abs())
    } else {
        format!("Brindle's mean is {ahead:+.2} points from that of the best peer, {name}. Wanted: +1.\n")
    };
    let misses = standing::misses(results, &group.rows);
    let settled = group.rows.iter().filter(|row| row.settles).count();
    writeln!(
        page,
        "\nRows in which Brindle is more than {} point below the best peer (of the {settled} with ten requests an entry), or more \
         than {} below LRU: {}.",
        standing::BELOW_PEERS,
        standing::BELOW_LRU,
        misses.len()
    )
    .expect("a string takes all");
    if !misses.is_empty() {
        let rows = misses.iter().map(|miss| {
            vec![
                miss.row.trace.clone(),
                miss.row.size(),
                format!("{:.2}", miss.own),
                miss.other.to_owned(),
                format!("{:.2}", miss.below),
            ]
        });
        page += "\n";
        page += &grid::markdown(&["trace", "size", "brindle", "ahead", "by"], rows);
    }
    page
}

/// How much less is served when threads share the work.
fn threads(results: &Results) -> String {
    let mut counts: Vec<_> = results.rows.iter().map(|row| row.threads).filter(|&threads| threads > 1).collect();
    counts.sort_unstable();
    counts.dedup();
    let alone = |other: &Row| {
        let same = |row: &&Row| (row.threads, &row.trace, row.capacity) == (1, &other.trace, other.capacity);
        results.rows.iter().find(same)
    };
    let falls = |player: usize, threads: usize| {
        let rows = results.rows.iter().filter(|row| row.threads == threads);
        let falls: Vec<_> = rows.filter_map(|row| Some(alone(row)?.ratio(player)? - row.ratio(player)?)).collect();
        let most = falls.iter().copied().reduce(f64::max)?;
        Some((standing::mean(falls.into_iter())?, most))
    };
    let lines: Vec<Vec<String>> = (0..results.players.len())
        .filter_map(|player| {
            let cells: Option<Vec<_>> = counts.iter().map(|&threads| falls(player, threads)).collect();
            let cells = cells?.into_iter().map(|(mean, most)| format!("{mean:.2} ({most:.2})"));
            Some([results.players[player].0.to_owned()].into_iter().chain(cells).collect())
        })
        .collect();
    if counts.is_empty() || lines.is_empty() {
        return String::new();
    }
    let names: Vec<_> = counts.iter().map(|threads| format!("{threads} threads")).collect();
    let head: Vec<_> = [""].into_iter().chain(names.iter().map(String::as_str)).collect();
    format!("Points lost, mean (most).\n\n{}", grid::markdown(&head, lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hit_ratio::policies::LRU;
    use crate::hit_ratio::served::Served;
    use crate::hit_ratio::trace::Trace;

    fn results() -> Results {
        let players = vec![("brindle", Role::Own), ("a", Role::Peer), ("b", Role::Peer), (LRU, Role::Simulated)];
        let players = [players, vec![("optimum", Role::Optimum)]].concat();
        let trace = Trace::new("t", (0..100).map(|n| n % 10));
        let row = |threads, capacity, hits: &[u64]| {
            let mut row = Row::new(&trace, None, capacity, threads, 5);
            for (served, &hits) in row.served.iter_mut().zip(hits) {
                *served = Some(Served { requests: 100, hits, ..Served::default() });
            }
            row
        };
        let rows = vec![row(1, 5, &[40, 42, 71, 30, 70]), row(1, 20, &[60, 50, 50, 30, 70]), row(2, 5, &[39, 42, 42])];
        Results { players, rows }
    }

    fn has(page: &str, line: &str) {
        assert!(page.lines().any(|other| other == line), "{line}\n\nis not in\n\n{page}");
    }

    #[test]
    fn the_best_the_impossible_and_the_missed_are_marked() {
        let page = markdown(&vec![("machine", "one".to_owned())], &results());
        has(&page, "- machine: one");
        has(&page, "| t | 5 | 40.00 | **42.00** | (71.00) | 30.00 | 70.00 |");
        has(&page, "| t | 20 | **60.00** | 50.00 | 50.00 | 30.00 | 70.00 |");
        has(&page, "| t | 5 | 40.00 | a | 2.00 |");
        has(&page, "| brindle | 50.00 | 20.00 | 2.00 (t, 5) | 0 |");
        has(&page, "| brindle | 1.00 (1.00) |");
    }
}
