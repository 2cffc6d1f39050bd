//! An object told to a person: one file for each kind that has more to say than its fields.

mod generic;

use serde_json::Value;

use crate::error::Result;
use crate::session::{Item, Session};

pub struct Describer<'a> {
    pub session: &'a Session,
    pub show_events: bool,
}

impl Describer<'_> {
    pub async fn describe(&self, item: &Item) -> Result<String> {
        Ok(generic::describe(&item.object))
    }
}
