//! `bench [ROW…]`: what this checkout's daemons can do, and what the parts below them do alone on the same machine in
//! the same minutes. `make bench` runs all rows.
//!
//! One line for each figure on standard output, `name value unit`; `…_floor` is what the parts below reach for the same
//! work and `…_ratio` our figure by it. Machines differ and drift, so the ratios are what can be compared. Progress is on
//! standard error. What is started here is stopped here.
//!
//! The load comes from this process, on the same cores as what is measured: see [`load`] for what it costs.

mod empty;
mod load;
mod objects;
mod report;
mod rows;
mod stage;

use std::process::ExitCode;

use anyhow::{Result, bail};

// The same as kube-apiserver's: the empty server is this program too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The rows, in the order in which they run.
const ROWS: [&str; 7] = ["start", "create", "get", "list", "watch", "workloads", "node"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = daemon::runtime(2).map_err(Into::into).and_then(|runtime| runtime.block_on(run(&arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<()> {
    if let [command, pki] = arguments
        && command == empty::COMMAND
    {
        return empty::serve(pki.as_ref()).await;
    }
    if let Some(unknown) = arguments.iter().find(|name| !ROWS.contains(&name.as_str())) {
        bail!("{unknown}: no such row; there are: {}", ROWS.join(" "));
    }
    let wanted = |row: &str| arguments.is_empty() || arguments.iter().any(|name| name == row);
    let of_objects = ["start", "create", "get", "list", "watch"];
    if of_objects.into_iter().any(wanted) {
        rows::objects(&wanted).await?;
    }
    if wanted("workloads") {
        rows::workloads::run().await?;
    }
    if wanted("node") {
        rows::node::run().await?;
    }
    Ok(())
}
