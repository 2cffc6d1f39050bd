//! What a write's transaction holds beside the object: other objects that must still be as a plugin has seen them, and what is written
//! of them. So what a plugin has decided on holds when the write is carried out, and what it counts is counted if the object is written and
//! only then.

use storage::{Guard, Op, Stored};
use tokio::sync::OwnedMutexGuard;

#[derive(Default)]
pub struct Terms {
    pub guards: Vec<Guard>,
    pub ops: Vec<Op>,
    /// Kept until the transaction is over: writers that would refuse each other go one after the other.
    pub turn: Vec<OwnedMutexGuard<()>>,
}

impl Terms {
    /// The other object must still be as it was at the revision.
    pub fn unchanged(key: String, revision: i64) -> Self {
        Self { guards: vec![Guard::Unchanged(key, revision)], ..Self::default() }
    }

    pub(super) fn join(&mut self, mut more: Terms) {
        self.guards.append(&mut more.guards);
        self.ops.append(&mut more.ops);
        self.turn.append(&mut more.turn);
    }

    /// Whether all hold for what their keys hold now, in the order of the guards.
    pub fn hold(&self, now: &[Option<Stored>]) -> bool {
        self.guards.iter().enumerate().all(|(at, guard)| guard.holds(now.get(at).and_then(Option::as_ref)))
    }
}
