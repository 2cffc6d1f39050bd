//! `label`.

use clap::Args;

use super::metadata::{Change, Words};
use crate::error::Result;
use crate::session::Session;

pub const WORDS: Words =
    Words { field: "labels", one: "label", set: "labeled", removed: "unlabeled", nothing: "not labeled" };

#[derive(Args, Debug)]
pub struct Label {
    #[command(flatten)]
    change: Change,
}

impl Label {
    pub async fn run(self, session: &Session) -> Result<()> {
        self.change.run(session, &WORDS).await
    }
}
