//! Every figure as JSON for programs: the head, and a flat record a row and player.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::results::Results;
use super::results::Row;
use super::served::Served;
use crate::machine::Head;

pub fn json(head: &Head, results: &Results) -> String {
    let head: Map<String, Value> = head.iter().map(|(name, what)| (name.to_string(), json!(what))).collect();
    let records: Vec<Value> = results.rows.iter().flat_map(|row| records(results, row)).collect();
    format!("{:#}\n", json!({ "head": head, "records": records }))
}

fn records(results: &Results, row: &Row) -> impl Iterator<Item = Value> {
    let played = results.players.iter().zip(&row.served).filter_map(|((name, _), served)| Some((*name, (*served)?)));
    played.map(|(name, served)| record(row, name, served))
}

fn record(row: &Row, name: &str, served: Served) -> Value {
    json!({
        "trace": row.trace,
        "sized": row.is_sized,
        "percent": row.percent,
        "capacity": row.capacity,
        "threads": row.threads,
        "settles": row.settles,
        "contender": name,
        "requests": served.requests,
        "hits": served.hits,
        "hit_percent": served.percent(),
        "weight_hit_percent": served.weight_percent(),
    })
}
