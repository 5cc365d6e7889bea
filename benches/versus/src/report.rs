//! Records as Markdown for people and as JSON for programs.

use std::fmt::Write;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::behind::Behind;
use crate::behind::OURS;
use crate::behind::Rival;
use crate::machine::Head;
use crate::record::Record;
use crate::record::Table;

/// The head, a table a kind of figure (a line a row, a column a contender), and where Brindle is behind.
pub fn markdown(head: &Head, records: &[Record]) -> String {
    let mut page = String::from("# Brindle and its peers: speed, latency, memory\n\n");
    for (name, what) in head {
        writeln!(page, "- {name}: {what}").expect("a string takes all");
    }
    for table in Table::ALL {
        let records: Vec<_> = of(table, records);
        if !records.is_empty() {
            write!(page, "\n## {}\n\n{}", table.title(), grid(table, &records)).expect("a string takes all");
        }
    }
    if records.iter().any(|record| record.contender == OURS) {
        page += &behind(&Behind::all(records));
    }
    page
}

pub fn of(table: Table, records: &[Record]) -> Vec<&Record> {
    records.iter().filter(|record| record.table == table).collect()
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

/// In the order in which they come first.
pub fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

fn behind(cells: &[Behind]) -> String {
    let title = "\n## Where Brindle is not first\n\n";
    if cells.is_empty() {
        return format!("{title}Nowhere: no bounded cache has a better figure in any row.\n");
    }
    let mut page = title.to_owned();
    page += "Every figure that another bounded cache has better (maps that never evict are no rivals). In brackets its figure over Brindle's. \
             `~`: the quartiles overlap. `+`: it may keep more entries than it is told to, for ever or for a while.\n\n\
             | table | row | figure | Brindle | ahead of it |\n|---|---|---|---|---|\n";
    for cell in cells {
        let rivals: Vec<_> = cell.rivals.iter().map(|rival| ahead(rival, cell.ours)).collect();
        let Behind { table, row, figure, unit, ours, .. } = cell;
        writeln!(page, "| {} | {row} | {figure}, {unit} | {ours:.2} | {} |", table.name(), rivals.join("; "))
            .expect("a string takes all");
    }
    page
}

fn ahead(rival: &Rival, ours: f64) -> String {
    let Rival { name, figure, unsure, more_room } = rival;
    let marks = [(*unsure, "~"), (*more_room, "+")].map(|(holds, mark)| if holds { mark } else { "" }).concat();
    format!("{name}{marks} {figure:.2} ({:.2}×)", figure / ours)
}

/// One object: the head, the records as flat objects, and where Brindle is behind.
pub fn json(head: &Head, records: &[Record]) -> String {
    let head: Map<String, Value> = head.iter().map(|(name, what)| (name.to_string(), json!(what))).collect();
    let flat: Vec<Value> = records.iter().map(flat_record).collect();
    let behind: Vec<Value> = Behind::all(records).iter().map(cell).collect();
    format!("{:#}\n", json!({ "head": head, "records": flat, "behind": behind }))
}

fn cell(cell: &Behind) -> Value {
    let rivals = cell.rivals.iter().map(
        |rival| json!({ "contender": rival.name, "figure": rival.figure, "unsure": rival.unsure, "more_room": rival.more_room }),
    );
    json!({
        "table": cell.table.name(),
        "row": cell.row,
        "figure": cell.figure,
        "ours": cell.ours,
        "ahead": rivals.collect::<Vec<_>>(),
    })
}

fn flat_record(record: &Record) -> Value {
    let names = [("table", record.table.name()), ("row", &record.row), ("contender", record.contender)];
    let names = names.into_iter().map(|(name, what)| (name.to_owned(), json!(what)));
    let figures = record.figures.iter().map(|(name, figure)| (name.to_string(), json!(figure)));
    Value::Object(names.chain(figures).collect())
}
