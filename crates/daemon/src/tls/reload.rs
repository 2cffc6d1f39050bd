//! A value built from files, and built again when one of them changes.
use std::{
    fmt,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Source, TlsError};
use crate::LogOnce;

type Build<T> = Box<dyn Fn() -> Result<T, TlsError> + Send + Sync>;
/// What changes when a file is written, or another is moved to its place.
type Stamp = Option<(u64, i64, i64, u64)>;

pub(super) struct Reloading<T> {
    sources: Vec<Source>,
    build: Build<T>,
    state: Mutex<(Vec<Stamp>, Arc<T>)>,
    log: LogOnce,
}

impl<T> Reloading<T> {
    pub(super) fn new(sources: Vec<Source>, build: Build<T>) -> Result<Self, TlsError> {
        // Stamps are taken first: a change in between is then seen at the next look.
        let stamps = stamps(&sources);
        let value = Arc::new(build()?);
        Ok(Self { sources, build, state: Mutex::new((stamps, value)), log: LogOnce::new() })
    }

    /// The value of the files as they are now. Files that can't be used leave the last good value in force: they may be
    /// half written.
    pub(super) fn current(&self) -> Arc<T> {
        let now = stamps(&self.sources);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 != now {
            match (self.build)() {
                Ok(value) => {
                    *state = (now, Arc::new(value));
                    tracing::info!("certificates read again: {:?}", self.sources);
                    self.log.over("certificates can be used again");
                }
                Err(error) => {
                    self.log.trouble(format_args!("{error}; the certificates read before stay in use"));
                }
            }
        }
        state.1.clone()
    }
}

fn stamps(sources: &[Source]) -> Vec<Stamp> {
    let stamp = |source: &Source| match source {
        Source::Inline { .. } => None,
        Source::File { path, .. } => {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
        }
    };
    sources.iter().map(stamp).collect()
}

impl<T> fmt::Debug for Reloading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading").field("sources", &self.sources).finish_non_exhaustive()
    }
}
