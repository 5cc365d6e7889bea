//! Reads a trace file: little-endian u64 keys, plain or compressed with zstd.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;

use crate::common::error::Error;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const KEY_BYTES: usize = 8;
const BUFFER: usize = 1 << 20;

pub(crate) struct Trace {
    /// The row of each access: keys are renumbered from 0 in order of first appearance.
    pub(crate) accesses: Vec<u32>,
    /// Distinct keys.
    pub(crate) rows: usize,
    /// The file went on after `limit` accesses.
    pub(crate) cut: bool,
}

/// Reads up to `limit` accesses.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Trace, Error> {
    let failed = |source| Error::Io { what: format!("cannot read the trace {}", path.display()), source };
    let mut file = BufReader::with_capacity(BUFFER, File::open(path).map_err(failed)?);
    let compressed = file.fill_buf().map_err(failed)?.starts_with(&ZSTD_MAGIC);
    let mut bytes: Box<dyn Read> = if compressed {
        Box::new(BufReader::with_capacity(BUFFER, zstd::Decoder::with_buffer(file).map_err(failed)?))
    } else {
        Box::new(file)
    };

    let mut rows: HashMap<u64, u32> = HashMap::new();
    let mut accesses = Vec::new();
    let mut cut = false;
    let mut key = [0; KEY_BYTES];
    loop {
        match fill(&mut bytes, &mut key).map_err(failed)? {
            0 => break,
            KEY_BYTES if accesses.len() == limit => {
                cut = true;
                break;
            }
            KEY_BYTES => {
                let next = u32::try_from(rows.len()).map_err(|_| too_many(path))?;
                accesses.push(*rows.entry(u64::from_le_bytes(key)).or_insert(next));
            }
            left => {
                return Err(Error::Failed(format!(
                    "the trace {} ends {left} bytes into a key; it must hold whole little-endian u64 keys and nothing else",
                    path.display()
                )));
            }
        }
    }
    if accesses.is_empty() {
        return Err(Error::Failed(format!("the trace {} is empty; give one with at least one key", path.display())));
    }
    Ok(Trace { accesses, rows: rows.len(), cut })
}

fn too_many(path: &Path) -> Error {
    Error::Failed(format!("the trace {} has too many distinct keys; read less with --trace-limit", path.display()))
}

/// Fills `key` as far as the bytes go and returns how far that was.
fn fill(bytes: &mut dyn Read, key: &mut [u8; KEY_BYTES]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < KEY_BYTES {
        match bytes.read(&mut key[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
