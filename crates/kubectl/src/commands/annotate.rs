//! `annotate`.

use clap::Args;

use super::metadata::{Change, Words};
use crate::error::Result;
use crate::session::Session;

/// Upstream has one word for all that `annotate` did.
const WORDS: Words =
    Words { field: "annotations", one: "annotation", set: "annotated", removed: "annotated", nothing: "annotated" };

#[derive(Args, Debug)]
pub struct Annotate {
    #[command(flatten)]
    change: Change,
}

impl Annotate {
    pub async fn run(self, session: &Session) -> Result<()> {
        self.change.run(session, &WORDS).await
    }
}
