//! How many requests came with what shows who sends them, and how many with what does not.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::attributes::User;

type Label = [(&'static str, &'static str); 1];

/// The names that upstream tells as they are; others could be any number.
const KNOWN: [&str; 5] = ["admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"];

pub struct Attempts {
    results: Family<Label, Counter>,
    users: Family<Label, Counter>,
    succeeded: Counter,
    failed: Counter,
    others: Counter,
}

impl Default for Attempts {
    fn default() -> Self {
        let (results, users) = (Family::<Label, Counter>::default(), Family::<Label, Counter>::default());
        let succeeded = results.get_or_create(&[("result", "success")]).clone();
        let failed = results.get_or_create(&[("result", "failure")]).clone();
        let others = users.get_or_create(&[("username", "other")]).clone();
        Self { results, users, succeeded, failed, others }
    }
}

impl Attempts {
    pub fn register(&self, metrics: &mut Registry) {
        metrics.register("authentication_attempts", "Counter of authenticated attempts", self.results.clone());
        let help = "Counter of authenticated requests broken out by username";
        metrics.register("authenticated_user_requests", help, self.users.clone());
    }

    /// `Err`: it is not known whose request it is.
    pub fn count(&self, user: Result<&User, ()>) {
        let Ok(user) = user else {
            self.failed.inc();
            return;
        };
        self.succeeded.inc();
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
        assert_eq!((attempts.succeeded.get(), attempts.failed.get()), (5, 1));
    }
}
