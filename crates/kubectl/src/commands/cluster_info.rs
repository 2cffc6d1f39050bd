//! `cluster-info`: where the cluster answers.

use std::io::IsTerminal;

use clap::Args;

use crate::error::{Error, Result};
use crate::printer::say;
use crate::rest::Query;
use crate::select;
use crate::session::Session;

#[derive(Args, Debug)]
pub struct ClusterInfo {}

impl ClusterInfo {
    pub async fn run(self, session: &Session) -> Result<()> {
        // Services that say of themselves that they are part of the cluster; asking also proves that the server is there.
        let services = session.discovery().await?.find("services")?.clone();
        let query = Query::new().with("labelSelector", "kubernetes.io/cluster-service=true");
        let found = match select::list(session, &services, "kube-system", &query).await {
            Ok(found) => found,
            Err(Error::Refused(refusal)) if refusal.code == 403 => Vec::new(),
            Err(error) => return Err(error),
        };
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let line = |name: &str, url: &str| match colour {
            true => format!("\x1b[0;32m{name}\x1b[0m is running at \x1b[0;33m{url}\x1b[0m\n"),
            false => format!("{name} is running at {url}\n"),
        };
        let server = &session.client.server;
        let mut text = line("Kubernetes control plane", server);
        for item in found {
            let name =
                item.object["metadata"]["labels"]["kubernetes.io/name"].as_str().unwrap_or(&item.name).to_owned();
            let port = &item.object["spec"]["ports"][0];
            let port = port["name"].as_str().map(|name| format!(":{name}")).unwrap_or_default();
            text += &line(&name, &format!("{server}{}{port}/proxy", item.path()));
        }
        say(&text)
    }
}
