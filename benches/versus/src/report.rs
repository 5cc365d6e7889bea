//! Records as Markdown for people and as JSON for programs.

use std::fmt::Write;

use crate::record::{Record, Table};

/// A table a kind of figure: a line a row, a column a contender.
pub fn markdown(records: &[Record]) -> String {
    let mut page = String::new();
    for table in Table::ALL {
        let records: Vec<_> = records.iter().filter(|record| record.table == table).collect();
        if !records.is_empty() {
            write!(page, "## {}\n\n{}\n", table.title(), grid(table, &records)).expect("a string takes all");
        }
    }
    page
}

fn grid(table: Table, records: &[&Record]) -> String {
    let rows = distinct(records.iter().map(|record| record.row.as_str()));
    let contenders = distinct(records.iter().map(|record| record.contender));

    let mut lines =
        vec![format!("| {} | {} |", table.name(), contenders.join(" | ")), format!("|---{}|", "|---".repeat(contenders.len()))];
    for row in rows {
        let cells = contenders.iter().map(|&contender| {
            records
                .iter()
                .find(|record| record.row == row && record.contender == contender)
                .map_or_else(String::new, |record| table.cell(record))
        });
        lines.push(format!("| {row} | {} |", cells.collect::<Vec<_>>().join(" | ")));
    }
    lines.join("\n") + "\n"
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// An array of flat objects. No name in it needs escaping.
pub fn json(records: &[Record]) -> String {
    let objects = records.iter().map(|record| {
        let figures: String = record.figures.iter().map(|(name, value)| format!(r#", "{name}": {value}"#)).collect();
        format!(
            r#"  {{"table": "{}", "row": "{}", "contender": "{}"{figures}}}"#,
            record.table.name(),
            record.row,
            record.contender
        )
    });
    format!("[\n{}\n]\n", objects.collect::<Vec<_>>().join(",\n"))
}
