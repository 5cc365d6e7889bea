//! Traces from files: little-endian u64 keys, or pairs of key and size, plain or compressed with zstd.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use super::trace::Trace;

/// What a name ends with if a directory is searched for traces, and whether sizes are in it.
const ENDINGS: &[(&str, bool)] = &[(".u64", false), (".u64.zst", false), (".u64w", true), (".u64w.zst", true)];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The traces in these files and directories. All of them have sizes if `weighted`, else those whose names say so.
pub fn read(paths: &[PathBuf], weighted: bool) -> Result<Vec<Trace>, String> {
    let mut traces = Vec::new();
    for path in paths {
        for file in files(path)? {
            traces.push(trace(&file, weighted).map_err(|complaint| format!("{}: {complaint}", file.display()))?);
        }
    }
    Ok(traces)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let complain = |error| format!("{}: {error}", path.display());
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries: Result<Vec<_>, _> = fs::read_dir(path).map_err(complain)?.collect();
    let mut files: Vec<_> = entries.map_err(complain)?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.is_file() && ending(file).is_some());
    files.sort();
    if files.is_empty() { Err(format!("{}: no .u64, .u64w, .u64.zst or .u64w.zst in it", path.display())) } else { Ok(files) }
}

fn ending(file: &Path) -> Option<(&'static str, bool)> {
    let name = file.file_name()?.to_str()?;
    ENDINGS.iter().copied().find(|(ending, _)| name.ends_with(ending))
}

fn trace(file: &Path, weighted: bool) -> Result<Trace, String> {
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    let bytes = if bytes.starts_with(&ZSTD) {
        zstd::decode_all(&bytes[..]).map_err(|error| format!("not what zstd can read: {error}"))?
    } else {
        bytes
    };
    let (ending, sized) = ending(file).unwrap_or_default();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    parse(name.trim_end_matches(ending), &bytes, weighted || sized)
}

fn parse(name: &str, bytes: &[u8], sized: bool) -> Result<Trace, String> {
    let width = if sized { 16 } else { 8 };
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    if !bytes.len().is_multiple_of(width) {
        let what = if sized { "pairs of key and size" } else { "keys" };
        return Err(format!("{} bytes are no whole number of {what}, {width} bytes each", bytes.len()));
    }
    let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
    Ok(if sized {
        let pairs = std::iter::from_fn(|| Some((words.next()?, words.next()?)));
        Trace::sized(format!("{name} (sized)"), pairs)
    } else {
        Trace::new(name, words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn complaint(read: Result<Vec<Trace>, String>) -> String {
        read.err().expect("it cannot be read")
    }

    #[test]
    fn a_directory_holds_plain_and_compressed_traces_with_and_without_sizes() {
        let directory = std::env::temp_dir().join(format!("versus-read-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes).unwrap();
        write("a.u64", &bytes(&[5, 6, 5]));
        write("b.u64w.zst", &zstd::encode_all(&bytes(&[5, 100, 6, 200])[..], 0).unwrap());
        write("notes.txt", b"not a trace");

        let traces = read(std::slice::from_ref(&directory), false).unwrap();
        let names: Vec<_> = traces.iter().map(|trace| trace.name.as_str()).collect();
        assert_eq!(names, ["a", "b (sized)"]);
        assert_eq!((&traces[0].keys[..], &traces[0].requests[..]), (&[5, 6][..], &[0, 1, 0][..]));
        assert_eq!((traces[1].weights().of(0), traces[1].weights().of(1)), (100, 200));

        let complaint = complaint(read(&[directory.join("a.u64")], true));
        assert!(complaint.contains("a.u64: 24 bytes are no whole number of pairs"), "{complaint}");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn what_is_no_trace_is_named() {
        assert!(complaint(read(&["no/such.u64".into()], false)).starts_with("no/such.u64: "));
        assert!(parse("t", &[], false).is_err());
        assert!(parse("t", &[1, 2, 3], false).is_err());
    }
}
