//! Command lines as Kubernetes' daemons take them: `_` for `-` in names, the last of several wins, errors on one line.
use std::{ffi::OsString, fmt, fmt::Display, net::IpAddr, net::SocketAddr, path::Path};

use clap::{Args, Parser};

/// A flag whose value can't be used: `--bind-address=10.0.0.9: address not available`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag}={value}: {reason}")]
pub struct FlagError {
    /// Without the dashes.
    pub flag: String,
    pub value: String,
    pub reason: String,
}

impl FlagError {
    pub fn new(flag: impl Into<String>, value: impl Display, reason: impl Display) -> Self {
        Self { flag: flag.into(), value: value.to_string(), reason: reason.to_string() }
    }
}

/// The flags that every daemon has.
#[derive(Args, Clone, Debug)]
pub struct CommonFlags {
    /// How much is logged: 0 and 1 what an operator needs, 2 and 3 more, 4 and above for debugging
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u8,
    /// Accepted for the sake of old configuration files: logs always go to the standard error
    #[arg(long, hide = true, value_name = "BOOL", default_value = "true", default_missing_value = "true",
          num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub logtostderr: bool,
}

/// Reads the command line; on an error, or on `--help` and `--version`, says it and ends the process.
pub fn parse<T: Parser>() -> T {
    match try_parse(std::env::args_os()) {
        Ok(flags) => flags,
        Err(error) if error.use_stderr() => {
            eprintln!("{}: {}", program(), one_line(&error));
            std::process::exit(1)
        }
        Err(error) => error.exit(),
    }
}

/// As [`parse`], from any arguments; the first is the program's name.
pub fn try_parse<T: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<T, clap::Error> {
    let command = T::command().version(concat!("v", env!("CARGO_PKG_VERSION"))).args_override_self(true);
    T::from_arg_matches(&command.try_get_matches_from(arguments.into_iter().map(with_dashes))?)
}

/// `--admission_control=a_b` means `--admission-control=a_b`.
fn with_dashes(argument: OsString) -> OsString {
    let Some(flag) = argument.to_str().and_then(|text| text.strip_prefix("--")) else { return argument };
    match flag.split_once('=') {
        Some((name, value)) => format!("--{}={value}", name.replace('_', "-")).into(),
        None => format!("--{}", flag.replace('_', "-")).into(),
    }
}

/// What clap says, up to the first empty line, without its indentation and the word "error".
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

/// The name that this program was started by.
pub fn program() -> String {
    let first = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&first).file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "pilothouse".to_owned())
}

/// An address out of two flags, and the flag that an error of binding to it names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ListenFlag {
    /// The flag of the port, without the dashes.
    pub flag: &'static str,
    /// The flag of the address, for an address that this machine does not have.
    pub address_flag: Option<&'static str>,
    pub address: SocketAddr,
}

impl ListenFlag {
    pub fn new(flag: &'static str, address: IpAddr, port: u16) -> Self {
        Self { flag, address_flag: None, address: SocketAddr::new(address, port) }
    }

    pub fn address_flag(self, flag: &'static str) -> Self {
        Self { address_flag: Some(flag), ..self }
    }

    /// Binds to the address, so that all errors of that kind come before anything else happens.
    pub fn bind(self) -> Result<std::net::TcpListener, FlagError> {
        let bind = || {
            let listener = std::net::TcpListener::bind(self.address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        bind().map_err(|error: std::io::Error| {
            let why = format_args!("can't listen on {}: {error}", self.address).to_string();
            match self.address_flag {
                Some(flag) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
                    FlagError::new(flag, self.address.ip(), why)
                }
                _ => FlagError::new(self.flag, self.address.port(), why),
            }
        })
    }
}

impl fmt::Debug for ListenFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}: {}", self.flag, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        common: CommonFlags,
        #[arg(long, default_value = "")]
        admission_control: String,
    }

    fn parse(arguments: &[&str]) -> Result<Flags, String> {
        let all = ["x"].iter().chain(arguments).map(OsString::from);
        try_parse(all).map_err(|error| one_line(&error))
    }

    #[test]
    fn underscores_are_dashes_in_names_only() {
        assert_eq!(parse(&["--admission_control=a_b"]).unwrap().admission_control, "a_b");
        assert_eq!(parse(&["--admission_control", "a_b"]).unwrap().admission_control, "a_b");
    }

    #[test]
    fn the_last_of_several_wins() {
        assert_eq!(parse(&["--v=1", "--v=4"]).unwrap().common.verbosity, 4);
        assert_eq!(parse(&["-v", "3"]).unwrap().common.verbosity, 3);
    }

    #[test]
    fn booleans_as_upstream_writes_them() {
        assert!(parse(&["--logtostderr"]).unwrap().common.logtostderr);
        assert!(!parse(&["--logtostderr=false"]).unwrap().common.logtostderr);
    }

    #[test]
    fn errors_name_the_flag_on_one_line() {
        assert_eq!(
            parse(&["--v=x"]).unwrap_err(),
            "invalid value 'x' for '--v <LEVEL>': invalid digit found in string"
        );
        assert_eq!(parse(&["--nope"]).unwrap_err(), "unexpected argument '--nope' found");
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = ListenFlag::new("port", IpAddr::from([127, 0, 0, 1]), port).bind().unwrap_err().to_string();
        assert!(error.starts_with(&format!("--port={port}: can't listen on 127.0.0.1:{port}: ")), "{error}");
    }
}
