//! Which compiler counts are of.

use std::env;
use std::fmt;
use std::process::Command;

/// Version and target, as the compiler names them.
#[derive(PartialEq, Eq)]
pub(crate) struct Compiler {
    pub(crate) version: String,
    pub(crate) host: String,
}

impl Compiler {
    /// The one that cargo calls here, and called to build this.
    pub(crate) fn present() -> Result<Self, String> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let said = Command::new(rustc).arg("-vV").output().map_err(|error| format!("rustc does not run: {error}"))?;
        let said = String::from_utf8_lossy(&said.stdout);
        let version = said.lines().next().unwrap_or_default();
        let host = said.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc does not name its host")?;
        Ok(Self { version: version.to_string(), host: host.to_string() })
    }

    /// From a line as it is written.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (version, host) = line.split_once(" for ")?;
        Some(Self { version: version.to_string(), host: host.to_string() })
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.version, self.host)
    }
}
