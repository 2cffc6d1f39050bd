//! `api-versions`.

use clap::Args;

use crate::error::Result;
use crate::printer::say;
use crate::session::Session;

#[derive(Args, Debug)]
pub struct ApiVersions {}

impl ApiVersions {
    pub async fn run(self, session: &Session) -> Result<()> {
        let mut versions = session.discovery().await?.versions.clone();
        versions.sort();
        say(&versions.iter().map(|version| format!("{version}\n")).collect::<String>())
    }
}
