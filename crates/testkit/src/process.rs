//! A daemon as a process: its log in a file, its end observed, stopped by its id.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("a certificate could not be made: {0}")]
    Certificate(String),
    #[error("{program}: can't be started: {source}")]
    Start { program: String, source: io::Error },
    #[error("{name} ended while starting; its log {log} ends with:\n{tail}")]
    Ended { name: String, log: PathBuf, tail: String },
    #[error("{name} was not ready within {seconds} s; its log is {log}")]
    NotReady { name: String, seconds: u64, log: PathBuf },
    #[error("{0}")]
    Other(String),
}

impl Error {
    pub fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
    pub fn certificate(error: impl std::fmt::Display) -> Self {
        Self::Certificate(error.to_string())
    }
}

/// A running daemon. Dropping it ends the process, unless it was left on its own by [`Daemon::detach`].
#[derive(Debug)]
pub struct Daemon {
    pub name: String,
    pub log: PathBuf,
    child: Option<Child>,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Daemon {
    pub fn start(name: &str, program: &Path, arguments: &[String], log: &Path) -> Result<Self, Error> {
        let mut daemon = Self {
            name: name.to_owned(),
            log: log.to_owned(),
            child: None,
            program: program.to_owned(),
            arguments: arguments.to_vec(),
        };
        daemon.restart()?;
        Ok(daemon)
    }

    /// Starts the same program with the same arguments; the log goes on.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill();
        let log = File::options().create(true).append(true).open(&self.log).map_err(|e| Error::file(&self.log, e))?;
        let errors = log.try_clone().map_err(|e| Error::file(&self.log, e))?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log).stderr(errors);
        // A group of its own: a Ctrl-C in the terminal is not for daemons.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let program = self.program.display().to_string();
        self.child = Some(command.spawn().map_err(|source| Error::Start { program, source })?);
        Ok(())
    }

    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// SIGKILL: nothing is said and nothing is tidied up.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and SIGKILL for who does not listen.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        signal(child.id(), libc::SIGTERM);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10) {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Leaves the process running when this value goes, with its id in a file.
    pub fn detach(mut self, pid_file: &Path) -> Result<(), Error> {
        if let Some(child) = self.child.take() {
            fs::write(pid_file, child.id().to_string()).map_err(|e| Error::file(pid_file, e))?;
        }
        Ok(())
    }

    /// Waits until `ready` says so; the daemon must not end meanwhile.
    pub fn wait(&mut self, seconds: u64, mut ready: impl FnMut() -> bool) -> Result<(), Error> {
        let begin = Instant::now();
        while !ready() {
            if !self.is_running() {
                let tail = self.tail();
                return Err(Error::Ended { name: self.name.clone(), log: self.log.clone(), tail });
            }
            if begin.elapsed() > Duration::from_secs(seconds) {
                return Err(Error::NotReady { name: self.name.clone(), seconds, log: self.log.clone() });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn signal(pid: u32, signal: i32) -> bool {
    // SAFETY: kill has no preconditions; a wrong id is an error that it returns.
    unsafe { libc::kill(pid as i32, signal) == 0 }
}

/// Whether a pid file names a running process of this program; an id may have been given to another meanwhile.
pub fn running(pid_file: &Path, program: &str) -> Option<u32> {
    let pid: u32 = fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let first = command.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(first).ends_with(program).then_some(pid)
}

/// Where [`free_ports`] looks: below what the kernel gives to outgoing connections and to those who ask for any port, and below NodePorts. A
/// port from there stays free until its daemon starts, and until it starts again.
const PORTS: Range<u32> = 16_000..30_000;

/// Ports that nobody listens on now, on any address. No two calls in one process give the same one.
pub fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Programs that run side by side begin at different places.
    let begin = std::process::id().wrapping_mul(101);
    let mut free = PORTS.filter_map(|_| {
        let place = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS.len() as u32;
        let port = u16::try_from(PORTS.start + place).ok()?;
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok().then_some(port)
    });
    let mut ports = [0; N];
    for port in &mut ports {
        *port = free.next().ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))?;
    }
    Ok(ports)
}

pub fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// The status of a plain HTTP GET; `None` when nobody answers.
pub fn http_status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(64).read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}
