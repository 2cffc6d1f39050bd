//! `kubectl`: the command line of a cluster, compatible with upstream's. This file only wires.

mod cli;
mod commands;
mod describer;
mod duration;
mod error;
mod kubeconfig;
mod manifest;
mod printer;
mod resources;
mod rest;
mod select;
mod session;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let outcome = match cli::parse(&arguments) {
        Ok(cli) => cli.run().await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error::Error::Silent) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}", error.report());
            ExitCode::FAILURE
        }
    }
}
