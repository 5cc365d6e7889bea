//! What can go wrong, said so that the reader knows what to change.

use std::fmt;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) enum Error {
    /// A flag that cannot be used as given.
    Flag(String),
    /// What only one example can run into, in its words.
    Failed(String),
    Io {
        what: String,
        source: std::io::Error,
    },
    Database(rusqlite::Error),
    /// A load that failed for every caller who waited for it.
    SharedLoad(Arc<dyn std::error::Error + Send + Sync>),
    Histogram(hdrhistogram::CreationError),
    Signal(ctrlc::Error),
    /// A thread died instead of returning.
    ThreadPanicked(&'static str),
    /// Ctrl-C came before there was anything to show.
    Interrupted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(why) => write!(f, "{why}\nRun with --help to see every flag."),
            Self::Failed(why) => f.write_str(why),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Database(source) => write!(f, "the database failed: {source}"),
            Self::SharedLoad(source) => source.fmt(f),
            Self::Histogram(source) => write!(f, "no histogram: {source}"),
            Self::Signal(source) => write!(f, "cannot listen for Ctrl-C: {source}"),
            Self::ThreadPanicked(who) => write!(f, "a {who} thread panicked; its message is above"),
            Self::Interrupted => f.write_str("interrupted before the first cache ran; nothing to show"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Database(source) => Some(source),
            Self::SharedLoad(source) => Some(source),
            Self::Histogram(source) => Some(source),
            Self::Signal(source) => Some(source),
            _ => None,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(source: rusqlite::Error) -> Self {
        Self::Database(source)
    }
}
