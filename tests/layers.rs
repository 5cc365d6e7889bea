//! Rooms stand on floors and look only down: reads the sources and fails with file and line on an arrow that points up, on `unsafe`
//! outside its rooms, on a clock or a user's callback where there must be none.

use std::fs::read_dir;
use std::fs::read_to_string;
use std::path::Path;
use std::path::PathBuf;

/// Where each room stands: the floors of the design's layout table, with steps between them where one room of a floor needs another.
/// A room may use what stands lower, and itself.
const FLOORS: &[(&str, u32)] = &[
    ("sync", 10),
    ("rule", 10),
    ("expiry", 10),
    ("unwind", 10),
    ("failure", 10),
    ("loaded", 10),
    ("event", 11),
    ("config", 11),
    ("lineage", 11),
    ("time", 20),
    ("policy", 20),
    ("flight", 21),
    ("table", 30),
    ("entry", 35),
    ("error", 36),
    ("core", 40),
    ("builder", 50),
    ("cache", 50),
    ("face", 60),
    ("behind", 70),
    ("guide", 99),
    ("interleavings", 99),
    ("models", 99),
];

/// Rooms of one floor that know each other.
const SIDEWAYS: &[(&str, &str)] = &[("builder", "cache"), ("cache", "builder")];

/// The only files with unsafe code. Each must have some, so that the list stays exact.
const UNSAFE: &[&str] = &[
    "models/watched.rs",
    "sync/barrier.rs",
    "sync/prefetch.rs",
    "table/bucket.rs",
    "table/chunk.rs",
    "table/evict.rs",
    "table/growth.rs",
    "table/hold.rs",
    "table/leave.rs",
    "table/locked.rs",
    "table/node.rs",
    "table/pin.rs",
    "table/plain.rs",
    "table/put.rs",
    "table/reader.rs",
    "table/reclaim.rs",
    "table/slab.rs",
    "table/stripe.rs",
];

/// The one file that asks what time it is.
const CLOCK: &str = "time/clock.rs";

/// The user's callbacks by type, and where each is at home below the core.
const CALLBACKS: &[(&str, &[&str])] = &[
    ("Expiry", &["expiry.rs"]),
    ("Listener", &[]),
    ("Measure", &[]),
    ("Settings", &[]),
    ("Removed", &["entry.rs"]),
    ("TimeSource", &["time/clock.rs", "time/mod.rs"]),
    ("dyn Fn", &["sync/shown.rs"]),
    ("BuildHasher", &[]),
];

struct Line {
    file: String,
    number: usize,
    code: String,
}

impl Line {
    fn room(&self) -> &str {
        self.file.split(['/', '.']).next().expect("split yields something")
    }

    fn at(&self) -> String {
        format!("src/{}:{}", self.file, self.number)
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.code.split(|char: char| !char.is_alphanumeric() && char != '_')
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every line of code, without comments and without what stands between quotation marks.
fn lines() -> Vec<Line> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.sort();
    assert!(paths.len() > 20, "the sources are not where they should be: {paths:?}");
    let mut lines = Vec::new();
    for path in paths {
        let file = path.strip_prefix(&root).expect("below the root").to_str().expect("UTF-8").replace('\\', "/");
        let text = read_to_string(&path).expect("readable");
        let code = text.lines().map(code_of).enumerate();
        lines.extend(code.map(|(at, code)| Line { file: file.clone(), number: at + 1, code }));
    }
    lines
}

/// Good for what the sources have: string literals on one line, and no block comments.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut quoted = false;
    let mut escaped = false;
    for char in line.chars() {
        if !quoted && char == '/' && code.ends_with('/') {
            code.pop();
            break;
        }
        if char == '"' && !escaped && !code.ends_with('\'') {
            quoted = !quoted;
        } else if !quoted {
            code.push(char);
        }
        escaped = quoted && char == '\\' && !escaped;
    }
    code
}

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|&(_, floor)| floor)
}

/// The rooms that a line names by `crate::`, or by a `super::` that leads out of its own.
fn rooms_named(line: &Line) -> Vec<String> {
    let name = |rest: &str| rest.split(|char: char| !char.is_alphanumeric() && char != '_').next().unwrap_or("").to_string();
    // From `a/b.rs` the root is two steps up, from `a.rs` and `a/mod.rs` one; an indented line may stand in a module of its own.
    let nested = line.code.starts_with(' ');
    let steps = usize::from(line.file.contains('/') && !line.file.ends_with("/mod.rs")) + 1 + usize::from(nested);
    let mut named: Vec<String> =
        line.code.match_indices("crate::").map(|(at, found)| name(&line.code[at + found.len()..])).collect();
    let up = "super::".repeat(steps);
    named.extend(line.code.match_indices(&up).map(|(at, found)| name(&line.code[at + found.len()..])));
    named.retain(|room| !room.is_empty() && room != "super");
    named
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_room_has_a_floor() {
    let mut rooms: Vec<String> = lines().iter().map(|line| line.room().to_string()).filter(|room| room != "lib").collect();
    rooms.dedup();
    let unknown = rooms.iter().filter(|room| floor(room).is_none());
    none(unknown.map(|room| format!("src/{room} stands on no floor: give it one in tests/layers.rs")).collect());
    let empty = FLOORS.iter().filter(|(name, _)| !rooms.iter().any(|room| room == name));
    none(empty.map(|(name, _)| format!("there is no room `{name}` any more: take it out of tests/layers.rs")).collect());
}

#[test]
fn no_arrow_points_up() {
    let mut complaints = Vec::new();
    for line in lines().iter().filter(|line| line.file != "lib.rs") {
        let own = floor(line.room()).unwrap_or(0);
        for named in rooms_named(line) {
            let sideways = SIDEWAYS.contains(&(line.room(), named.as_str()));
            let allowed = named == line.room() || sideways || floor(&named).is_some_and(|below| below < own);
            if !allowed {
                complaints.push(format!("{}: `{}` may not use `{named}`: {}", line.at(), line.room(), line.code.trim()));
            }
        }
    }
    none(complaints);
}

#[test]
fn the_reader_of_arrows_sees_them() {
    let line = |file: &str, code: &str| Line { file: file.into(), number: 1, code: code.into() };
    assert_eq!(rooms_named(&line("table/put.rs", "use crate::core::Core;")), ["core"]);
    assert_eq!(rooms_named(&line("table/put.rs", "    let x = crate::sync::fence(super::super::core::Y);")), ["sync"]);
    assert_eq!(rooms_named(&line("table/put.rs", "use super::super::core::Core;")), ["core"]);
    assert_eq!(rooms_named(&line("table/mod.rs", "use super::core::Core;")), ["core"]);
    assert_eq!(rooms_named(&line("entry.rs", "use super::core::Core;")), ["core"]);
    assert!(rooms_named(&line("table/put.rs", "use super::index::Index;")).is_empty());
    assert!(rooms_named(&line("entry.rs", "    use super::*;")).is_empty());
    assert_eq!(code_of(r#"let a = "crate::core // \" x"; b // crate::core"#), "let a = ; b ");
    assert_eq!(code_of("//! [`Cache`](crate::Cache)"), "");
}

#[test]
fn each_use_brings_in_one_thing() {
    let is_use = |line: &Line| {
        let code = line.code.trim_start();
        ["use ", "pub use ", "pub(crate) use ", "pub(super) use "].iter().any(|start| code.starts_with(start))
    };
    let several = |line: &Line| {
        let tests = line.code.starts_with(' ') && line.code.trim() == "use super::*;";
        // The intrinsics of the one function that compares tags are a glob by custom.
        let intrinsics = line.code.trim() == "use std::arch::x86_64::*;";
        (line.code.contains('{') || line.code.contains('*') || !line.code.trim_end().ends_with(';')) && !tests && !intrinsics
    };
    let lines = lines();
    let complaints = lines.iter().filter(|line| is_use(line) && several(line) && !line.file.ends_with("tests.rs"));
    none(complaints.map(|line| format!("{}: one thing a `use`: {}", line.at(), line.code.trim())).collect());
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    let lines = lines();
    let has_unsafe = |line: &&Line| line.words().any(|word| word == "unsafe");
    let outside = lines.iter().filter(has_unsafe).filter(|line| !UNSAFE.contains(&line.file.as_str()));
    none(outside.map(|line| format!("{}: no unsafe code here: {}", line.at(), line.code.trim())).collect());
    let safe = UNSAFE.iter().filter(|file| !lines.iter().filter(has_unsafe).any(|line| line.file == **file));
    none(safe.map(|file| format!("src/{file} has no unsafe code any more: take it off the list")).collect());
}

#[test]
fn nobody_below_the_core_reads_a_clock() {
    let core = floor("core").expect("listed");
    let lines = lines();
    let asks = |line: &&Line| line.words().any(|word| ["Instant", "SystemTime", "elapsed"].contains(&word));
    let low = |line: &&Line| floor(line.room()).is_some_and(|floor| floor < core) && line.file != CLOCK;
    let complaints = lines.iter().filter(low).filter(asks);
    none(complaints.map(|line| format!("{}: time comes in as a number: {}", line.at(), line.code.trim())).collect());
    // The table does not even know that there are clocks.
    let table = lines.iter().filter(|line| floor(line.room()).is_some_and(|own| own <= floor("table").expect("listed")));
    let clocks = table.filter(|line| line.room() != "time" && line.words().any(|word| word == "Clock"));
    none(clocks.map(|line| format!("{}: no clock here: {}", line.at(), line.code.trim())).collect());
}

#[test]
fn nothing_below_the_core_names_a_users_callback() {
    let core = floor("core").expect("listed");
    let mut complaints = Vec::new();
    for line in lines().iter().filter(|line| floor(line.room()).is_some_and(|floor| floor < core)) {
        for (callback, homes) in CALLBACKS {
            let named =
                if callback.contains(' ') { line.code.contains(callback) } else { line.words().any(|word| word == *callback) };
            if named && !homes.contains(&line.file.as_str()) {
                complaints.push(format!("{}: `{callback}` is not for this floor: {}", line.at(), line.code.trim()));
            }
        }
    }
    none(complaints);
}
