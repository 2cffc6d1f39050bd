//! How a watch recovers.
use std::collections::HashSet;

use crate::{Error, Key};

/// What the mirror knows, and from where the next watch goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing that can be built on: the next watch begins with the list. Objects of before stay until the list has come.
    Start,
    /// The list is coming in. What is not seen until its end does not exist any more.
    Listing { seen: HashSet<Key> },
    /// All changes up to the revision are in.
    Following { revision: i64 },
}

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The connection, or the peer: the changes since then can still be had.
    Connection,
    /// The changes since then are gone.
    Expired,
}

impl Broken {
    pub fn by(error: &Error) -> Self {
        if error.is_expired() { Broken::Expired } else { Broken::Connection }
    }
}

impl State {
    pub(super) fn listing() -> Self {
        State::Listing { seen: HashSet::new() }
    }

    pub(super) fn is_listing(&self) -> bool {
        matches!(self, State::Listing { .. })
    }

    /// What the next watch asks for; 0 is the list.
    pub fn revision(&self) -> i64 {
        match self {
            State::Following { revision } => *revision,
            State::Start | State::Listing { .. } => 0,
        }
    }

    /// An object has come in by the watch.
    pub(super) fn saw(&mut self, key: &Key, deleted: bool) {
        if matches!(self, State::Start) {
            *self = State::listing();
        }
        if let State::Listing { seen } = self {
            if deleted {
                seen.remove(key);
            } else {
                seen.insert(key.clone());
            }
        }
    }

    /// The state from which the next watch starts.
    pub fn broken(self, why: Broken) -> Self {
        match (self, why) {
            (State::Following { revision }, Broken::Connection) => State::Following { revision },
            // Half a list is worth nothing: the next one is of another revision.
            _ => State::Start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions() {
        let following = State::Following { revision: 7 };
        assert_eq!(following.clone().broken(Broken::Connection), following);
        assert_eq!(following.broken(Broken::Expired), State::Start);
        assert_eq!(State::listing().broken(Broken::Connection), State::Start);
        assert_eq!(State::listing().revision(), 0);
        let mut state = State::Start;
        state.saw(&Key::new("", "a"), false);
        state.saw(&Key::new("", "b"), false);
        state.saw(&Key::new("", "a"), true);
        assert_eq!(state, State::Listing { seen: HashSet::from([Key::new("", "b")]) });
    }
}
