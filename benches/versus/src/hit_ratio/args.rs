//! The command line of `versus hit-ratio`.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

use lexopt::Parser;
use lexopt::ValueExt;
use lexopt::prelude::Long;
use lexopt::prelude::Short;
use lexopt::prelude::Value;

use super::field;
use super::field::Player;
use super::generate::Extent;
use crate::output::Output;

pub const HELP: &str = "\
Usage: versus hit-ratio [FILE|DIRECTORY ..] [OPTIONS]

Replays traces against caches as their users build them, and against simulated policies and the optimum. A file holds
little-endian u64 keys, or pairs of key and size if its name has `.u64w` in it; zstd is recognised. Without a file the traces are
made here: skews, loops, scans, phases, recency, one-hit wonders, and some with sizes.

  --weighted             every file holds pairs of key and size
  --generators           the traces made here, too
  --traces PART,..       only traces with one of these in their names
  --contenders NAME,..   only these caches and policies (the names of the columns), besides brindle
  --sizes N,..           capacities, in keys (or weight) instead of 1, 2, 4, 8, 16 and 32 percent of the distinct keys
  --threads N,..         replays split over so many threads (default 1); simulated policies have one
  --repeats N            replays of each real cache, whose hashes differ from one to the next; their mean counts (default 1)
  --quick | --full       small traces made here, and no files: seconds | long ones, and 1, 2 and 8 threads
  --markdown FILE        the tables (else on standard output)
  --json FILE            every figure
  --plots DIRECTORY      a plot a trace, SVG
  --out DIRECTORY        all three
  --help";

pub struct Args {
    pub help: bool,
    pub files: Vec<PathBuf>,
    pub weighted: bool,
    pub generators: bool,
    pub traces: Vec<String>,
    pub players: Vec<Player>,
    pub sizes: Vec<u64>,
    pub threads: Vec<usize>,
    pub repeats: usize,
    pub extent: Extent,
    pub output: Output,
}

impl Args {
    pub fn parse(words: &[OsString]) -> Result<Self, String> {
        let mut args = Self::default();
        let mut effort = None;
        let mut threads = None;
        let mut contenders = None;

        let mut parser = Parser::from_args(words);
        while let Some(arg) = parser.next().map_err(text)? {
            match arg {
                Short('h') | Long("help") => args.help = true,
                Long("weighted") => args.weighted = true,
                Long("generators") => args.generators = true,
                Long("traces") => args.traces = words_of(&mut parser)?,
                Long("contenders") => contenders = Some(words_of(&mut parser)?),
                Long("sizes") => args.sizes = numbers(&mut parser, "size")?,
                Long("threads") => threads = Some(numbers(&mut parser, "number of threads")?),
                Long("repeats") => args.repeats = number(&word(&mut parser)?, "number of repeats")?,
                Long("quick") => effort = Some(Extent::QUICK),
                Long("full") => effort = Some(Extent::FULL),
                Long("markdown") => args.output.markdown = Some(path(&mut parser)?),
                Long("json") => args.output.json = Some(path(&mut parser)?),
                Long("plots") => args.output.plots = Some(path(&mut parser)?),
                Long("out") => args.output = all_into(&path(&mut parser)?),
                Value(file) => args.files.push(file.into()),
                other => return Err(text(other.unexpected())),
            }
        }

        args.players = field::players(contenders.as_deref())?;
        args.extent = effort.unwrap_or(Extent::DEFAULT);
        let usual = if effort == Some(Extent::FULL) { vec![1, 2, 8] } else { vec![1] };
        args.threads = threads.unwrap_or(usual);
        args.threads.sort_unstable();
        args.threads.dedup();
        if effort == Some(Extent::QUICK) && !args.files.is_empty() {
            return Err("--quick is for the traces made here: name no file, or leave it out".to_owned());
        }
        args.generators |= args.files.is_empty();
        Ok(args)
    }

    pub fn wants(&self, trace: &str) -> bool {
        self.traces.is_empty() || self.traces.iter().any(|part| trace.contains(part.as_str()))
    }
}

impl Default for Args {
    fn default() -> Self {
        Self {
            help: false,
            files: Vec::new(),
            weighted: false,
            generators: false,
            traces: Vec::new(),
            players: Vec::new(),
            sizes: Vec::new(),
            threads: Vec::new(),
            repeats: 1,
            extent: Extent::DEFAULT,
            output: Output::default(),
        }
    }
}

fn all_into(directory: &Path) -> Output {
    Output {
        markdown: Some(directory.join("hit-ratio.md")),
        json: Some(directory.join("hit-ratio.json")),
        plots: Some(directory.join("hit-ratio")),
    }
}

fn path(parser: &mut Parser) -> Result<PathBuf, String> {
    parser.value().map(PathBuf::from).map_err(text)
}

fn word(parser: &mut Parser) -> Result<String, String> {
    parser.value().map_err(text)?.string().map_err(text)
}

fn words_of(parser: &mut Parser) -> Result<Vec<String>, String> {
    Ok(word(parser)?.split(',').map(|word| word.trim().to_owned()).collect())
}

fn numbers<N: Number>(parser: &mut Parser, what: &str) -> Result<Vec<N>, String> {
    words_of(parser)?.iter().map(|word| number(word, what)).collect()
}

/// Above zero.
fn number<N: Number>(word: &str, what: &str) -> Result<N, String> {
    word.parse().ok().filter(|n| *n != N::default()).ok_or(format!("not a {what}: {word:?}"))
}

trait Number: FromStr + Default + PartialEq {}

impl Number for usize {}
impl Number for u64 {}

fn text(error: lexopt::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn complaint(line: &str) -> String {
        parse(line).err().expect("a complaint")
    }

    #[test]
    fn what_is_given_is_taken() {
        let args = parse("a.u64 dir --sizes 10,200 --threads 1,2 --traces zipf,loop --out o").unwrap();
        assert_eq!(args.files, [PathBuf::from("a.u64"), PathBuf::from("dir")]);
        assert_eq!((&args.sizes[..], &args.threads[..]), (&[10, 200][..], &[1, 2][..]));
        assert!(!args.generators && args.wants("one-loop") && !args.wants("scan"));
        assert_eq!(args.output.json, Some("o/hit-ratio.json".into()));
    }

    #[test]
    fn numbers_of_threads_count_once() {
        assert_eq!(parse("--threads 8,1,8").unwrap().threads, [1, 8]);
    }

    #[test]
    fn without_files_traces_are_made() {
        let args = parse("--full").unwrap();
        assert!(args.generators && args.extent == Extent::FULL);
        assert_eq!(args.threads, [1, 2, 8]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(complaint("--threads 0"), r#"not a number of threads: "0""#);
        assert_eq!(complaint("--repeats -1"), r#"not a number of repeats: "-1""#);
        assert_eq!(complaint("--sizes 4,x"), r#"not a size: "x""#);
        assert!(complaint("--bogus").contains("--bogus"));
        assert!(complaint("--quick a.u64").contains("--quick"));
        assert!(complaint("--contenders nobody").contains("nobody"));
        assert!(complaint("--json").contains("--json"));
    }
}
