//! `--audit-log-path`: events as lines of JSON in a file, or on standard output. A thread of its own writes them, so that a slow or full disk
//! holds up no request; what can't be kept until it is written is counted as lost.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use daemon::LogOnce;
use jiff::{Timestamp, Unit};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::metrics::Counters;

/// As upstream's batch mode. A request can be some megabytes, so the bytes are bounded as well.
const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Lines that are there are written at once, up to so much.
const WRITE: usize = 256 * 1024;
/// How long the end of the server waits for the last events.
const LAST: Duration = Duration::from_secs(5);

/// What becomes of old files; 0: no bound, and of the size: one file for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rotation {
    pub max_megabytes: u64,
    pub max_days: u64,
    pub max_backups: usize,
}

enum Message {
    Line(Vec<u8>),
    /// Answered when all that came before is written.
    Flush(SyncSender<()>),
}

pub struct Log {
    sender: SyncSender<Message>,
    queued: Arc<AtomicUsize>,
    errors: Counters<1>,
    overrun: LogOnce,
}

impl Log {
    /// `-`: standard output.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let output: Box<dyn Output> = match path.to_str() {
            Some("-") => Box::new(io::stdout()),
            _ => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                folder.map_or(Ok(()), |folder| DirBuilder::new().recursive(true).mode(0o700).create(folder))?;
                Box::new(Rotating::open(path, rotation)?)
            }
        };
        Self::to(output)
    }

    fn to(output: Box<dyn Output>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MAX_EVENTS);
        let (queued, errors) = (Arc::new(AtomicUsize::new(0)), Counters::new("plugin", ["log"]));
        let [lost] = errors.members().clone();
        let writer = Writer { output, queued: queued.clone(), lost };
        std::thread::Builder::new().name("audit".into()).spawn(move || writer.run(&receiver))?;
        Ok(Self { sender, queued, errors, overrun: LogOnce::new() })
    }

    /// Never waits.
    pub fn send(&self, line: Vec<u8>) {
        let size = line.len();
        if self.queued.fetch_add(size, Ordering::Relaxed) + size > MAX_BYTES
            || self.sender.try_send(Message::Line(line)).is_err()
        {
            self.queued.fetch_sub(size, Ordering::Relaxed);
            self.lost().inc();
            self.overrun.trouble(
                "--audit-log-path: events are lost, as more come than can be written: apiserver_audit_error_total",
            );
        }
    }

    /// Events that were not written.
    pub fn lost(&self) -> &Counter {
        let [lost] = self.errors.members();
        lost
    }

    pub fn register(&self, metrics: &mut Registry) {
        let help = "Counter of audit events that failed to be audited properly";
        self.errors.register(metrics, "apiserver_audit_error", help);
    }

    /// Waits until what was sent before is written, for a while.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        let end = std::time::Instant::now() + LAST;
        while let Err(error) = self.sender.try_send(message) {
            match error {
                std::sync::mpsc::TrySendError::Full(back) if std::time::Instant::now() < end => message = back,
                _ => return,
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = written.recv_timeout(LAST);
    }
}

/// Where whole lines go.
trait Output: Send {
    fn put(&mut self, lines: &[u8]) -> io::Result<()>;
}

impl Output for io::Stdout {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write_all(lines).and_then(|()| self.flush())
    }
}

struct Writer {
    output: Box<dyn Output>,
    queued: Arc<AtomicUsize>,
    lost: Counter,
}

impl Writer {
    /// Until nobody can send any more.
    fn run(mut self, receiver: &Receiver<Message>) {
        let log = LogOnce::new();
        let (mut lines, mut count, mut flushed) = (Vec::new(), 0, Vec::new());
        while let Ok(first) = receiver.recv() {
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Line(line) => {
                        lines.extend_from_slice(&line);
                        count += 1;
                    }
                    Message::Flush(done) => flushed.push(done),
                }
                if lines.len() < WRITE {
                    next = receiver.try_recv().ok();
                }
            }
            if count > 0 {
                match self.output.put(&lines) {
                    Ok(()) => {
                        log.over("--audit-log-path: events are written again");
                    }
                    Err(why) => {
                        self.lost.inc_by(count);
                        log.trouble(format_args!("--audit-log-path: events are lost: {why}"));
                    }
                }
                self.queued.fetch_sub(lines.len(), Ordering::Relaxed);
                lines.clear();
                // One huge event is no reason to keep its memory.
                lines.shrink_to(WRITE * 2);
                count = 0;
            }
            for done in flushed.drain(..) {
                let _ = done.send(());
            }
        }
    }
}

/// A file that gives way to a new one when it is full.
struct Rotating {
    path: PathBuf,
    file: File,
    size: u64,
    rotation: Rotation,
}

impl Rotating {
    fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let file = append(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.into(), file, size, rotation })
    }

    /// The old file gets the time in its name, as upstream's do: `audit-2026-11-26T09-01-14.123.log`.
    fn rotate(&mut self) -> io::Result<()> {
        let now = Timestamp::now();
        let (stem, suffix) = parts(&self.path);
        let time = now.strftime("%Y-%m-%dT%H-%M-%S");
        let millis = now.subsec_millisecond();
        fs::rename(&self.path, self.path.with_file_name(format!("{stem}-{time}.{millis:03}{suffix}")))?;
        self.file = append(&self.path)?;
        self.size = 0;
        self.remove_old(now)
    }

    fn remove_old(&self, now: Timestamp) -> io::Result<()> {
        let (stem, suffix) = parts(&self.path);
        let mut backups = Vec::new();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let middle = name.to_str().and_then(|name| name.strip_prefix(&stem)?.strip_prefix('-'));
            let made = middle.and_then(|middle| middle.strip_suffix(&suffix)).and_then(time_of);
            backups.extend(made.map(|made| (made, entry.path())));
        }
        backups.sort_unstable_by(|a, b| b.cmp(a));
        let Rotation { max_days, max_backups, .. } = self.rotation;
        for (at, (made, path)) in backups.iter().enumerate() {
            let days = made.until((Unit::Hour, now)).map_or(0, |age| age.get_hours() / 24);
            let old = max_days > 0 && u64::try_from(days).is_ok_and(|days| days >= max_days);
            if old || (max_backups > 0 && at >= max_backups) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let suffix = text(path.extension()).map_or(String::new(), |suffix| format!(".{suffix}"));
    (text(path.file_stem()).unwrap_or_default(), suffix)
}

/// When a file was put away, by its name.
fn time_of(name: &str) -> Option<Timestamp> {
    let (day, time) = name.split_once('T')?;
    format!("{day}T{}Z", time.replace('-', ":")).parse().ok()
}

impl Output for Rotating {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        let full = self.rotation.max_megabytes.saturating_mul(1024 * 1024);
        if full > 0 && self.size > 0 && self.size + lines.len() as u64 > full {
            // A file that can't be put away goes on growing: better than losing what happens.
            if let Err(why) = self.rotate() {
                tracing::warn!("--audit-log-path: {}: can't be rotated: {why}", self.path.display());
            }
        }
        let written = self.file.write_all(lines);
        match &written {
            Ok(()) => self.size += lines.len() as u64,
            // A part of a line would spoil the next one. Where it can't be taken back, as in a pipe, nothing else is to be done.
            Err(_) => drop(self.file.set_len(self.size)),
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_give_way_when_they_are_full_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let old = folder.path().join("audit-2020-01-02T03-04-05.678.log");
        let other = folder.path().join("audit-notes.log");
        fs::write(&old, "old").unwrap();
        fs::write(&other, "other").unwrap();
        let rotation = Rotation { max_megabytes: 1, max_days: 30, max_backups: 1 };
        let mut log = Rotating::open(&path, rotation).unwrap();
        for _ in 0..5 {
            log.put(&vec![b'x'; 600 * 1024]).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(!old.exists() && other.exists());
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!((files, fs::metadata(&path).unwrap().len()), (3, 600 * 1024));
    }

    #[test]
    fn names_of_old_files_are_times() {
        assert_eq!(time_of("2026-11-26T09-01-14.123").unwrap().to_string(), "2026-11-26T09:01:14.123Z");
        assert!(time_of("notes").is_none());
    }

    struct Full(Arc<AtomicUsize>);

    impl Output for Full {
        fn put(&mut self, lines: &[u8]) -> io::Result<()> {
            match self.0.load(Ordering::SeqCst) {
                0 => Err(io::Error::other("no space left on device")),
                _ => {
                    self.0.fetch_add(lines.len(), Ordering::SeqCst);
                    Ok(())
                }
            }
        }
    }

    #[test]
    fn a_full_disk_costs_events_and_they_are_counted() {
        let space = Arc::new(AtomicUsize::new(0));
        let log = Log::to(Box::new(Full(space.clone()))).unwrap();
        log.send(b"{}\n".to_vec());
        log.send(b"{}\n".to_vec());
        log.flush();
        assert_eq!((log.lost().get(), log.queued.load(Ordering::SeqCst)), (2, 0));
        space.store(1, Ordering::SeqCst);
        log.send(b"{}\n".to_vec());
        log.flush();
        assert_eq!((log.lost().get(), space.load(Ordering::SeqCst)), (2, 4));
    }

    struct Slow(Receiver<()>);

    impl Output for Slow {
        fn put(&mut self, _: &[u8]) -> io::Result<()> {
            let _ = self.0.recv();
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_hangs_holds_up_nobody_and_memory_is_bounded() {
        let (go, wait) = sync_channel(1);
        let log = Log::to(Box::new(Slow(wait))).unwrap();
        for _ in 0..40 {
            log.send(vec![b'x'; 4 * 1024 * 1024]);
        }
        assert!(log.queued.load(Ordering::SeqCst) <= MAX_BYTES);
        assert!(log.lost().get() >= 24);
        drop(go);
        log.flush();
        assert_eq!(log.queued.load(Ordering::SeqCst), 0);
    }
}
