//! The command line.

use crate::contenders::{ALL, Contender};
use crate::rows::Effort;

pub const HELP: &str = "\
Usage: versus [ROW,..] [OPTIONS]

Rows, chosen by any part of their names (all if none is given; hit-5m only with --full or by its name):
  hit-10k hit-100k hit-5m hot arc-get arc-with mix-75-25 mix-50-50 replace churn evict read-through
  get-with-warm get-with-warm-async cold-load stampede latency memory

Options:
  --rows ROW,..          the same as naming them
  --contenders NAME,..   only these, and quick_cache
  --threads N,..         numbers of threads (default 1,2; a stampede has 8)
  --quick | --full       less than a minute | as long as it takes
  --rounds N             rounds instead of those of the effort chosen
  --json FILE            the figures, one record a row and contender
  --help";

pub struct Args {
    pub help: bool,
    pub rows: Vec<String>,
    pub contenders: Vec<&'static Contender>,
    pub threads: Vec<usize>,
    pub effort: Effort,
    pub json: Option<String>,
}

impl Args {
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut args = Self {
            help: false,
            rows: Vec::new(),
            contenders: ALL.iter().collect(),
            threads: vec![1, 2],
            effort: Effort::DEFAULT,
            json: None,
        };
        let mut rounds = None;

        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut next = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--help" | "-h" => args.help = true,
                "--quick" => args.effort = Effort::QUICK,
                "--full" => args.effort = Effort::FULL,
                "--rounds" => rounds = Some(number(next()?)?),
                "--json" => args.json = Some(next()?.clone()),
                "--rows" => args.rows.extend(list(next()?)),
                "--threads" => {
                    args.threads = list(next()?).map(|n| number(&n)).collect::<Result<_, _>>()?;
                }
                "--contenders" => {
                    let chosen: Vec<_> = list(next()?).collect();
                    args.contenders.retain(|c| c.is_reference() || chosen.iter().any(|name| name == c.name));
                }
                option if option.starts_with('-') => return Err(format!("unknown: {option}")),
                rows => args.rows.extend(list(rows)),
            }
        }
        args.effort.rounds = rounds.unwrap_or(args.effort.rounds);
        Ok(args)
    }

    pub fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|part| row.contains(part.as_str()))
    }
}

fn list(words: &str) -> impl Iterator<Item = String> {
    words.split(',').map(str::to_owned)
}

fn number(word: &str) -> Result<usize, String> {
    word.parse().ok().filter(|n| *n > 0).ok_or(format!("not a number above zero: {word}"))
}
