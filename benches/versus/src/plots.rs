//! The tables as plots, a file each, and the speed over the number of threads.

use std::path::Path;

use crate::plot;
use crate::plot::Axis;
use crate::plot::Bar;
use crate::plot::Line;
use crate::plot::Panel;
use crate::plot::Scale;
use crate::record::Record;
use crate::record::Table;
use crate::report::distinct;
use crate::report::of;

/// Into a directory that is there.
pub fn write(directory: &Path, records: &[Record]) -> Result<(), String> {
    for table in Table::ALL {
        let records = of(table, records);
        let file = directory.join(format!("{}.svg", table.name()));
        match table {
            _ if records.is_empty() => {}
            Table::Latency => latency(&file, &records)?,
            _ => plot::bars(&file, table.plot_title(), &bars(table, &records))?,
        }
    }
    scaling(&directory.join("scaling.svg"), &of(Table::Speed, records))
}

/// A panel for each row and figure.
fn bars(table: Table, records: &[&Record]) -> Vec<Panel<Bar>> {
    let figures = table.plotted();
    let mut panels = Vec::new();
    for row in distinct(records.iter().map(|record| record.row.as_str())) {
        for figure in figures {
            let bar = |record: &&Record| Bar {
                label: record.contender.to_owned(),
                value: record.figure(figure),
                whisker: record.quartiles(figure),
            };
            let title = if figures.len() == 1 { row.to_owned() } else { format!("{row}: {}", figure.replace('_', " ")) };
            panels.push(Panel { title, parts: records.iter().filter(|record| record.row == row).map(bar).collect() });
        }
    }
    panels
}

fn latency(file: &Path, records: &[&Record]) -> Result<(), String> {
    let line = |record: &&Record| Line {
        label: record.contender.to_owned(),
        points: (0..).zip(&record.figures).map(|(nth, (_, nanos))| (f64::from(nth), *nanos)).collect(),
    };
    let percentiles = &records[0].figures;
    let name = |at: f64| {
        let whole = (at - at.round()).abs() < 1e-6;
        percentiles.get(at.round() as usize).filter(|_| whole).map_or_else(String::new, |(name, _)| (*name).to_owned())
    };
    let x = Axis { name: "percentile", scale: Scale::Linear, tick: &name };
    let y = Axis { name: "nanoseconds", scale: Scale::Logarithmic, tick: &plot::short };
    let panels = panels(records, |record| &record.row, |same| same.iter().map(line).collect());
    plot::lines(file, Table::Latency.plot_title(), &x, &y, &panels)
}

/// What all threads together do in a microsecond, for the scenarios that were run with several numbers of threads.
fn scaling(file: &Path, records: &[&Record]) -> Result<(), String> {
    let several = |record: &&&Record| records.iter().any(|other| scenario(other) == scenario(record) && other.row != record.row);
    let records: Vec<&Record> = records.iter().filter(several).copied().collect();
    if records.is_empty() {
        return Ok(());
    }
    let point = |record: &&Record| (record.figure("threads"), 1000.0 * record.figure("threads") / record.figure("ns"));
    let lines = |same: &[&Record]| {
        let line = |contender: &str| Line {
            label: contender.to_owned(),
            points: same.iter().filter(|record| record.contender == contender).map(point).collect(),
        };
        distinct(same.iter().map(|record| record.contender)).into_iter().map(line).collect()
    };
    let whole = |threads: f64| if threads.fract() == 0.0 { threads.to_string() } else { String::new() };
    let x = Axis { name: "threads", scale: Scale::Linear, tick: &whole };
    let y = Axis { name: "operations / µs, all threads", scale: Scale::Linear, tick: &plot::short };
    plot::lines(file, "Throughput over threads", &x, &y, &panels(&records, scenario, lines))
}

fn scenario(record: &Record) -> &str {
    record.row.split_once(", ").map_or(&record.row, |(scenario, _)| scenario)
}

/// A panel for all records that share a title.
fn panels(records: &[&Record], title: fn(&Record) -> &str, lines: impl Fn(&[&Record]) -> Vec<Line>) -> Vec<Panel<Line>> {
    let same = |name: &str| records.iter().copied().filter(|record| title(record) == name).collect::<Vec<_>>();
    let titles = distinct(records.iter().map(|record| title(record)));
    titles.into_iter().map(|name| Panel { title: name.to_owned(), parts: lines(&same(name)) }).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::write;
    use crate::record::Record;
    use crate::record::Table;

    fn speed(scenario: &str, threads: usize, contender: &'static str, ratio: f64) -> Record {
        let figures = vec![
            ("ratio", ratio),
            ("ratio_q1", ratio / 2.0),
            ("ratio_q3", 2.0 * ratio),
            ("ns", 9.0),
            ("threads", threads as f64),
        ];
        Record { table: Table::Speed, row: format!("{scenario}, {threads} threads"), contender, figures }
    }

    #[test]
    fn each_table_that_has_records_is_a_plot() {
        let directory = std::env::temp_dir().join(format!("versus-plots-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("room for files");
        let latency = vec![("p50", 20.0), ("p99", 2000.0)];
        let records = [
            speed("hot", 2, "brindle", 2.0),
            speed("hot", 4, "brindle", f64::NAN),
            speed("evict", 2, "moka", 0.0),
            Record { table: Table::Latency, row: "reads".to_owned(), contender: "brindle", figures: latency },
        ];
        write(&directory, &records).expect("files that can be written");

        let mut files: Vec<_> = fs::read_dir(&directory).expect("it is there").flatten().collect();
        files.sort_by_key(|file| file.file_name());
        let plots = files.iter().map(|file| fs::read_to_string(file.path()).expect("text"));
        assert!(plots.into_iter().all(|plot| plot.starts_with("<svg") && plot.contains("brindle")));
        assert_eq!(files.iter().map(|file| file.file_name()).collect::<Vec<_>>(), ["latency.svg", "scaling.svg", "speed.svg"]);
        fs::remove_dir_all(&directory).expect("only files of this test");
    }
}
