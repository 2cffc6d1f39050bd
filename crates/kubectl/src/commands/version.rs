//! `version`: of this program and of the server.

use clap::Args;
use serde_json::{Value, json};

use crate::error::{Error, Result, fail};
use crate::kubeconfig::Connection;
use crate::printer::{pretty, say, say_line};

/// The release of the API that this program was built for.
const RELEASE: &str = "v1.37.0";

#[derive(Args, Debug)]
pub struct Version {
    /// Of this program only
    #[arg(long)]
    client: bool,
    /// json or yaml
    #[arg(short, long, default_value = "", hide_default_value = true)]
    output: String,
}

impl Version {
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let mut answer = json!({"clientVersion": client()});
        let mut error = None;
        if !self.client {
            match self.server(connection).await {
                Ok(version) => answer["serverVersion"] = version,
                Err(failure) => error = Some(failure),
            }
        }
        match self.output.as_str() {
            "" => {
                let version = |of: &str| answer[of]["gitVersion"].as_str().map(str::to_owned);
                for (title, of) in [("Client", "clientVersion"), ("Server", "serverVersion")] {
                    if let Some(version) = version(of) {
                        say_line(&format!("{title} Version: {version}"))?;
                    }
                }
            }
            "json" => say_line(&pretty(&answer).replace("    ", "  "))?,
            "yaml" => say(&api::yaml::render(&answer))?,
            other => return fail(format!("--output must be 'yaml' or 'json', not {other:?}")),
        }
        error.map_or(Ok(()), Err::<(), Error>)
    }

    async fn server(&self, connection: &Connection) -> Result<Value> {
        let (client, _) = connection.connect().await?;
        client.get("/version").await
    }
}

fn client() -> Value {
    let (major, rest) = RELEASE.trim_start_matches('v').split_once('.').unwrap_or((RELEASE, ""));
    json!({
        "major": major, "minor": rest.split('.').next().unwrap_or(""),
        "gitVersion": format!("{RELEASE}+pilothouse.{}", env!("CARGO_PKG_VERSION")),
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    })
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
