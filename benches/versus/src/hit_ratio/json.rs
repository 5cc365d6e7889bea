//! Every figure as JSON for programs: an array of flat objects, one a row and player.

use super::results::Results;

pub fn json(results: &Results) -> String {
    let mut objects = Vec::new();
    for row in &results.rows {
        for ((name, _), served) in results.players.iter().zip(&row.served) {
            let Some(served) = served else { continue };
            let percent = row.percent.map_or("null".to_owned(), |percent| percent.to_string());
            objects.push(format!(
                r#"  {{"trace": {}, "sized": {}, "percent": {percent}, "capacity": {}, "threads": {}, "settles": {}, "contender": {}, "requests": {}, "hits": {}, "hit_percent": {:.4}, "weight_hit_percent": {:.4}}}"#,
                quoted(&row.trace),
                row.is_sized,
                row.capacity,
                row.threads,
                row.settles,
                quoted(name),
                served.requests,
                served.hits,
                served.percent(),
                served.weight_percent(),
            ));
        }
    }
    format!("[\n{}\n]\n", objects.join(",\n"))
}

/// Names of files may hold anything.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        assert_eq!(quoted("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
    }
}
