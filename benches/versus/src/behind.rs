//! Where Brindle is not first: every cell in which another bounded cache shows a better figure.

use crate::contenders::Contender;
use crate::record::Contest;
use crate::record::Record;
use crate::record::Table;

pub const OURS: &str = "brindle";

pub struct Behind {
    pub table: Table,
    pub row: String,
    pub figure: &'static str,
    pub unit: &'static str,
    pub ours: f64,
    /// The best first.
    pub rivals: Vec<Rival>,
}

pub struct Rival {
    pub name: &'static str,
    pub figure: f64,
    /// Its quartiles and Brindle's overlap: another run may turn it round.
    pub unsure: bool,
    /// It may keep more entries than it was told to.
    pub more_room: bool,
}

impl Behind {
    pub fn all(records: &[Record]) -> Vec<Self> {
        let ours = |table| records.iter().filter(move |record| record.table == table && record.contender == OURS);
        let contests = |table: Table| ours(table).flat_map(move |own| table.contests().iter().map(move |contest| (own, contest)));
        Table::ALL.into_iter().flat_map(contests).filter_map(|(own, contest)| Self::of(own, contest, records)).collect()
    }

    fn of(own: &Record, contest: &Contest, records: &[Record]) -> Option<Self> {
        let ours = own.figure(contest.figure);
        let others = records.iter().filter(|other| other.table == own.table && other.row == own.row);
        let mut rivals: Vec<_> = others
            .filter(|other| contest.lead(other.figure(contest.figure), ours) > contest.slack)
            .filter_map(|other| Some((other, Contender::named(other.contender).filter(|contender| contender.is_rival())?)))
            .map(|(other, contender)| Rival {
                name: contender.name,
                figure: other.figure(contest.figure),
                unsure: overlap(own.quartiles(contest.figure), other.quartiles(contest.figure)),
                more_room: contender.more_room,
            })
            .collect();
        rivals.sort_by(|one, other| contest.lead(other.figure, one.figure).total_cmp(&0.0));
        (!rivals.is_empty()).then(|| Self {
            table: own.table,
            row: own.row.clone(),
            figure: contest.figure,
            unit: contest.unit,
            ours,
            rivals,
        })
    }
}

fn overlap(one: Option<(f64, f64)>, other: Option<(f64, f64)>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.0 <= other.1 && other.0 <= one.1)
}

#[cfg(test)]
mod tests {
    use super::Behind;
    use super::OURS;
    use crate::record::Record;
    use crate::record::Table;

    fn speed(contender: &'static str, ratio: f64) -> Record {
        let figures = vec![("ratio", ratio), ("ratio_q1", ratio - 0.1), ("ratio_q3", ratio + 0.1)];
        Record { table: Table::Speed, row: "row".to_owned(), contender, figures }
    }

    #[test]
    fn names_the_caches_that_are_better_and_no_others() {
        let records = [
            speed("scc", 1.15),
            speed(OURS, 1.0),
            speed("quick_cache", 1.5),
            speed("moka", 0.9),
            speed("papaya", 3.0),
            speed("bare map", 9.0),
        ];
        let behind = Behind::all(&records);
        let [cell] = behind.as_slice() else { panic!("one cell") };
        let rivals: Vec<_> = cell.rivals.iter().map(|rival| (rival.name, rival.unsure, rival.more_room)).collect();
        assert_eq!(rivals, [("quick_cache", false, false), ("scc", true, true)]);
    }

    #[test]
    fn less_memory_is_better() {
        let memory = |contender, steady| Record {
            table: Table::Memory,
            row: "row".to_owned(),
            contender,
            figures: vec![("first_filled", 1.0), ("steady", steady)],
        };
        assert!(Behind::all(&[memory(OURS, 40.0), memory("moka", 300.0)]).is_empty());
        let behind = Behind::all(&[memory(OURS, 40.0), memory("moka", 39.0)]);
        assert_eq!(behind.iter().map(|cell| cell.figure).collect::<Vec<_>>(), ["steady"]);
    }
}
