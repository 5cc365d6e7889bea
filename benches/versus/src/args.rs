//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::Long;
use lexopt::Arg::Short;
use lexopt::Arg::Value;
use lexopt::Parser;
use lexopt::ValueExt;

use crate::contenders::ALL;
use crate::contenders::Contender;
use crate::effort::Effort;
use crate::output::Output;
use crate::own_time;
use crate::rows;

pub const HELP: &str = "\
Usage: versus [ROW,..] [OPTIONS]
       versus hit-ratio --help   about the other comparison: who keeps what will be asked for

Rows, chosen by any part of their names (all if none is given; hit-5m only with --full or by its whole name):
  hit-10k hit-100k hit-5m        hits, all keys alike
  hit-text hit-1k                the same with String keys, and with values of 1 KiB
  hot                            hits on hot keys (Zipf 1.2)
  arc-get arc-with               the same with Arc values: cloned, and looked at where they lie
  mix-75-25 mix-50-50            percent of reads and of writes
  replace churn                  writes of keys that are there; removal and insertion
  evict evict-text evict-1k      insertion of new keys into a full cache
  read-through, -text, -1k       Zipf 0.99 over ten times as many keys as there is room for
  get-with-warm, -async          a loader that never runs
  cold-load stampede             a loader that runs each time; eight threads that want one key
  insert-at compare-and-swap     versioned writes, against other caches behind a hand-made gate
  invalidate                     one thread invalidates, or one call in ten; the others load what they miss
  latency                        percentiles of single calls in the read-through run
  memory lifetime idle           what entries cost; building and dropping; a cache that nobody uses
Keys and values are u64 where nothing else is said.

Options:
  --rows ROW,..          the same as naming them
  --contenders NAME,..   only these, and quick_cache, to which ratios are taken
  --threads N,..         numbers of threads (1,2; with --full 1,2,4,8; a stampede has eight)
  --quick | --full       less than a minute | less than forty minutes; about ten if neither is given
  --rounds N             rounds instead of those of the effort chosen
  --own-time             rounds are timed by what the threads themselves run, not by the wall clock: for a machine that others
                         use too. Waiting counts for nothing then, nor does what contenders do on threads of their own
  --markdown FILE        tables (to stdout if no file is asked for)
  --json FILE            the same for programs
  --plots DIR            SVG files
  --out DIR              all three: report.md, report.json, plots
  --help";

/// More threads than anybody compares.
const MOST_THREADS: usize = 1024;

pub struct Args {
    pub help: bool,
    pub rows: Vec<String>,
    pub contenders: Vec<&'static Contender>,
    pub threads: Vec<usize>,
    pub effort: Effort,
    pub output: Output,
    /// As they were given.
    pub words: Vec<String>,
}

impl Args {
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut args = Self {
            help: false,
            rows: Vec::new(),
            contenders: ALL.iter().collect(),
            threads: Vec::new(),
            effort: Effort::DEFAULT,
            output: Output::default(),
            words: words.to_vec(),
        };
        args.read(words).map_err(|error| error.to_string())?;
        if args.threads.is_empty() {
            args.threads = args.effort.threads.to_vec();
        }
        match args.rows.iter().find(|part| !rows::names().any(|row| row.contains(part.as_str()))) {
            Some(part) => Err(format!("no row is called {part:?}")),
            None => Ok(args),
        }
    }

    fn read(&mut self, words: &[String]) -> Result<(), lexopt::Error> {
        let mut rounds = None;
        let mut own_time = false;
        let mut parser = Parser::from_args(words);
        while let Some(arg) = parser.next()? {
            match arg {
                Long("help") | Short('h') => self.help = true,
                Long("quick") => self.effort = Effort::QUICK,
                Long("full") => self.effort = Effort::FULL,
                Long("own-time") if own_time::now().is_some() => own_time = true,
                Long("own-time") => return Err("the system does not tell how long a thread has run".into()),
                Long("rounds") => rounds = Some(number(&text(parser.value()?)?)?),
                Long("markdown") => self.output.markdown = Some(path(parser.value()?)),
                Long("json") => self.output.json = Some(path(parser.value()?)),
                Long("plots") => self.output.plots = Some(path(parser.value()?)),
                Long("out") => self.output = Output::all_into(&path(parser.value()?)),
                Long("rows") => self.rows.extend(list(parser.value()?)?),
                Long("threads") => self.threads = list(parser.value()?)?.iter().map(|n| threads(n)).collect::<Result<_, _>>()?,
                Long("contenders") => self.choose(&list(parser.value()?)?)?,
                Value(rows) => self.rows.extend(list(rows)?),
                _ => return Err(arg.unexpected()),
            }
        }
        self.effort = Effort { rounds: rounds.unwrap_or(self.effort.rounds), own_time, ..self.effort };
        Ok(())
    }

    fn choose(&mut self, names: &[String]) -> Result<(), lexopt::Error> {
        if let Some(unknown) = names.iter().find(|name| Contender::named(name).is_none()) {
            let known: Vec<_> = ALL.iter().map(|contender| contender.name).collect();
            return Err(format!("no contender is called {unknown:?}; there are {}", known.join(", ")).into());
        }
        self.contenders.retain(|contender| contender.reference || names.iter().any(|name| name == contender.name));
        Ok(())
    }

    pub fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|part| row.contains(part.as_str()))
    }
}

fn path(word: OsString) -> PathBuf {
    PathBuf::from(word)
}

fn text(word: OsString) -> Result<String, lexopt::Error> {
    word.string()
}

fn list(words: OsString) -> Result<Vec<String>, lexopt::Error> {
    let words = text(words)?;
    let list: Vec<_> = words.split(',').map(str::to_owned).collect();
    if list.iter().any(String::is_empty) { Err(format!("an empty name in {words:?}").into()) } else { Ok(list) }
}

fn threads(word: &str) -> Result<usize, lexopt::Error> {
    let threads = number(word)?;
    if threads > MOST_THREADS { Err(format!("more than {MOST_THREADS} threads: {threads}").into()) } else { Ok(threads) }
}

fn number(word: &str) -> Result<usize, lexopt::Error> {
    word.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("not a number above zero: {word:?}").into())
}

#[cfg(test)]
mod tests {
    use super::Args;

    fn parse(words: &str) -> Result<Args, String> {
        Args::parse(&words.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn an_option_may_come_before_or_after_the_effort() {
        for words in ["--quick --rounds 1 --threads 3", "--rounds=1 --threads=3 --quick"] {
            let args = parse(words).expect("right words");
            assert_eq!((args.effort.rounds, args.threads), (1, vec![3]), "{words}");
        }
    }

    #[test]
    fn names_choose() {
        let args = parse("evict,mem --contenders brindle").expect("right words");
        assert!(args.wants("evict-text") && args.wants("memory") && !args.wants("hot"));
        let chosen: Vec<_> = args.contenders.iter().map(|contender| contender.name).collect();
        assert_eq!(chosen, ["brindle", "quick_cache", "gated quick_cache"]);
    }

    #[test]
    fn wrong_words_are_refused() {
        for words in [
            "nothing",
            "hot,",
            "--rows hit,nothing",
            "--threads 0",
            "--threads 1,,2",
            "--threads 5000",
            "--rounds 0",
            "--rounds -1",
            "--rounds",
            "--contenders nobody",
            "--unknown",
            "--quick=1",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
