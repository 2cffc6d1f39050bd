//! The command line: which commands there are, and how wrong usage is told. What a command does is in `commands`.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use crate::commands::*;
use crate::error::{Error, Result};
use crate::kubeconfig::Connection;
use crate::session::Session;

#[derive(Parser, Debug)]
#[command(
    name = "kubectl",
    about = "Controls a cluster: creates, shows, changes and deletes its objects.",
    disable_version_flag = true
)]
pub struct Cli {
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Create objects from files, or one from the command line
    Create(create::Create),
    /// Create or change objects until they are as the files say
    Apply(apply::Apply),
    /// Show objects
    Get(get::Get),
    /// Show objects with all that belongs to them
    Describe(describe::Describe),
    /// Delete objects
    Delete(delete::Delete),
    /// Change the number of replicas
    Scale(scale::Scale),
    /// Show what a container wrote
    #[command(alias = "log")]
    Logs(logs::Logs),
    /// Set or remove labels
    Label(label::Label),
    /// Set or remove annotations
    Annotate(annotate::Annotate),
    /// Change fields of objects
    Patch(patch::Patch),
    /// Wait until a condition holds
    Wait(wait::Wait),
    /// Show the documentation of a resource's fields
    Explain(explain::Explain),
    /// Show the kinds of objects that the server knows
    ApiResources(api_resources::ApiResources),
    /// Show the API versions that the server knows
    ApiVersions(api_versions::ApiVersions),
    /// Show where the cluster runs
    ClusterInfo(cluster_info::ClusterInfo),
    /// Show or change the kubeconfig
    Config(config::Config),
    /// Show the versions of client and server
    Version(version::Version),
}

impl Cli {
    pub async fn run(self) -> Result<()> {
        let session = || Session::open(&self.connection);
        match self.command {
            // These say themselves what they need of a server.
            Command::Config(command) => command.run(&self.connection),
            Command::Version(command) => command.run(&self.connection).await,
            Command::Create(command) => command.run(&self.connection).await,
            Command::Apply(command) => command.run(&session().await?).await,
            Command::Get(command) => command.run(&session().await?).await,
            Command::Describe(command) => command.run(&session().await?).await,
            Command::Delete(command) => command.run(&session().await?).await,
            Command::Scale(command) => command.run(&session().await?).await,
            Command::Logs(command) => command.run(&session().await?).await,
            Command::Label(command) => command.run(&session().await?).await,
            Command::Annotate(command) => command.run(&session().await?).await,
            Command::Patch(command) => command.run(&session().await?).await,
            Command::Wait(command) => command.run(&session().await?).await,
            Command::Explain(command) => command.run(&session().await?).await,
            Command::ApiResources(command) => command.run(&session().await?).await,
            Command::ApiVersions(command) => command.run(&session().await?).await,
            Command::ClusterInfo(command) => command.run(&session().await?).await,
        }
    }
}

/// The arguments as a command, or what is wrong with them in upstream's words.
pub fn parse(arguments: &[String]) -> Result<Cli> {
    let error = match Cli::try_parse_from(arguments) {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        crate::printer::say(&error.to_string())?;
        std::process::exit(0);
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let command = command_path(arguments);
    let see = format!("See '{command} --help' for usage.");
    let argument = text(ContextKind::InvalidArg);
    Err(Error::Message(match error.kind() {
        ErrorKind::InvalidSubcommand => {
            format!("unknown command {:?} for {command:?}", text(ContextKind::InvalidSubcommand))
        }
        ErrorKind::UnknownArgument if argument.starts_with("--") => {
            format!("unknown flag: {}\n{see}", argument.split('=').next().unwrap_or(&argument))
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let letter = argument.trim_start_matches('-').chars().next().unwrap_or('-');
            format!("unknown shorthand flag: '{letter}' in {argument}\n{see}")
        }
        ErrorKind::MissingRequiredArgument if argument.starts_with('-') => {
            let flag = argument.split([' ', '=']).next().unwrap_or(&argument).trim_start_matches('-');
            format!("required flag(s) {flag:?} not set")
        }
        ErrorKind::MissingRequiredArgument if argument.contains("<NAME>") => {
            format!("exactly one NAME is required, got 0\nSee '{command} -h' for help and examples")
        }
        _ => {
            let whole = error.to_string();
            let first = whole.lines().next().unwrap_or("").trim_start_matches("error: ");
            format!("{first}\n{see}")
        }
    }))
}

/// `kubectl create configmap`: the commands among the arguments, each below the one before.
fn command_path(arguments: &[String]) -> String {
    let mut command = <Cli as clap::CommandFactory>::command();
    let mut path = String::from("kubectl");
    for argument in arguments.iter().skip(1) {
        if let Some(inner) = command.find_subcommand(argument).cloned() {
            path = format!("{path} {}", inner.get_name());
            command = inner;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> String {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        parse(&arguments).map_or_else(|e| e.to_string(), |cli| format!("{:?}", cli.command))
    }

    #[test]
    fn the_command_line_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_told_as_upstream_does() {
        for (line, expected) in [
            ("kubectl nope", "unknown command \"nope\" for \"kubectl\""),
            ("kubectl get pods --nope", "unknown flag: --nope\nSee 'kubectl get --help' for usage."),
            ("kubectl get pods -Z", "unknown shorthand flag: 'Z' in -Z\nSee 'kubectl get --help' for usage."),
            (
                "kubectl create cm",
                "exactly one NAME is required, got 0\nSee 'kubectl create configmap -h' for help and examples",
            ),
            ("kubectl scale rc x", "required flag(s) \"replicas\" not set"),
        ] {
            assert_eq!(told(line), expected, "{line}");
        }
        assert!(told("kubectl create -fa.yaml").contains("filename: [\"a.yaml\"]"));
    }
}
