//! How many requests came with what shows who sends them, and how many with what does not.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::attributes::User;
use crate::metrics::{Counters, Label};

/// The names that upstream tells as they are; others could be any number.
const KNOWN: [&str; 5] = ["admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"];

pub struct Attempts {
    results: Counters<2>,
    users: Family<Label, Counter>,
    others: Counter,
}

impl Default for Attempts {
    fn default() -> Self {
        let users = Family::<Label, Counter>::default();
        let others = users.get_or_create(&[("username", "other")]).clone();
        Self { results: Counters::new("result", ["success", "failure"]), users, others }
    }
}

impl Attempts {
    pub fn register(&self, metrics: &mut Registry) {
        self.results.register(metrics, "authentication_attempts", "Counter of authenticated attempts");
        let help = "Counter of authenticated requests broken out by username";
        metrics.register("authenticated_user_requests", help, self.users.clone());
    }

    /// `Err`: it is not known whose request it is.
    pub fn count(&self, user: Result<&User, ()>) {
        let [succeeded, failed] = self.results.members();
        let Ok(user) = user else {
            failed.inc();
            return;
        };
        succeeded.inc();
        match KNOWN.into_iter().find(|known| *known == user.name) {
            Some(known) => drop(self.users.get_or_create(&[("username", known)]).inc()),
            None if user.name.contains('@') => drop(self.users.get_or_create(&[("username", "email_id")]).inc()),
            None => drop(self.others.inc()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_told_by_name_only_where_there_are_few() {
        let attempts = Attempts::default();
        for name in ["admin", "ann@example.com", "bob@example.com", "system:node:n1", "system:node:n2"] {
            attempts.count(Ok(&User { name: name.into(), ..User::default() }));
        }
        attempts.count(Err(()));
        let of = |name| attempts.users.get_or_create(&[("username", name)]).get();
        assert_eq!([of("admin"), of("email_id"), of("other")], [1, 2, 2]);
        assert_eq!(attempts.results.members().each_ref().map(Counter::get), [5, 1]);
    }
}
