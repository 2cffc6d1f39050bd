//! What people do with this checkout beside building it: start and stop a cluster, measure it, keep the tree tidy.
//! `make` calls it.

mod cluster;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "usage: xtask COMMAND
  up      start the local cluster (state in .run), or what of it does not run
  down    stop it and remove its rules, containers and mounts
  bench   measure the daemons and the floors beside them: bench [ROW...]
  tidy    check the import directions and habits of the tree";

fn main() -> ExitCode {
    match run(std::env::args().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Option<&str>) -> Result<()> {
    match command {
        Some("up") => cluster::up(),
        Some("down") => cluster::down(),
        Some("bench") => cluster::bench(),
        Some("tidy") => tidy::check(),
        _ => bail!("{HELP}"),
    }
}
