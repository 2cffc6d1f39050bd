//! `make compare UPSTREAM=PROGRAM`: starts upstream's kube-apiserver 1.20 and ours, each on an etcd of its own, asks both the same, and tells
//! where the answers differ. What is asked stands in `requests/`, which differences are meant in `known.yaml`.
//!
//! Exit status 0: no differences but the known ones, and all of those are still there.

mod answer;
mod known;
mod normal;
mod server;
mod steps;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use answer::differences;
use known::Known;
use server::Server;
use steps::Script;

const HELP: &str = "usage: compare UPSTREAM [--show] [FILE...]
  UPSTREAM  the program of upstream's kube-apiserver 1.20
  --show    print all answers, not only what differs
  FILE      names of files in compare/requests, without their ending; all if none is given";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let mut arguments = std::env::args().skip(1);
    let Some(upstream) = arguments.next().filter(|first| !first.starts_with('-')).map(PathBuf::from) else {
        bail!("{HELP}")
    };
    let (flags, only): (Vec<String>, Vec<String>) = arguments.partition(|argument| argument.starts_with('-'));
    let show = match flags.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--show"] => true,
        _ => bail!("{HELP}"),
    };
    if !upstream.exists() {
        bail!("{}: there is no such program", upstream.display());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(compare(&upstream, &only, show))
}

async fn compare(upstream: &Path, only: &[String], show: bool) -> Result<bool> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut known = Known::read(&home.join("known.yaml"))?;
    let folder = tempfile::Builder::new().prefix("compare-").tempdir()?;
    let mut ours = Server::start(&folder.path().join("ours"), None)?;
    let mut theirs = Server::start(&folder.path().join("theirs"), Some(upstream))?;
    let scripts = Script::read_all(&home.join("requests"), only, &mut theirs).await?;
    let (mut asked, mut differing) = (0, 0);
    for script in &scripts {
        for (number, step) in script.steps.iter().enumerate() {
            let id = format!("{}: {}", script.name, step.title);
            let (a, b) = tokio::join!(ours.ask(step), theirs.ask(step));
            let (a, b) = (a.with_context(|| format!("ours: {id}"))?, b.with_context(|| format!("theirs: {id}"))?);
            asked += 1;
            if show {
                println!("== {id}\n-- ours {a}\n-- theirs {b}");
            }
            let unknown: Vec<_> = differences(&a, &b).into_iter().filter(|found| !known.explains(&id, found)).collect();
            if !unknown.is_empty() {
                differing += 1;
                println!("{id}   (#{})", number + 1);
                unknown.iter().for_each(|found| println!("{found}"));
            }
        }
    }
    println!("{asked} requests, {differing} of them answered differently without a reason in known.yaml");
    let stale = if only.is_empty() { known.unused() } else { Vec::new() };
    for row in &stale {
        println!("known.yaml: nothing differs any more where this row says so: {row}");
    }
    Ok(differing == 0 && stale.is_empty())
}
