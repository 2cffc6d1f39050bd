//! Impersonation: who may, asks as somebody else (`Impersonate-User` and its kin). From then on the request is that user's.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::status::Status;
use http::HeaderMap;
use percent_encoding::percent_decode_str;

use super::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use crate::attributes::{Attributes, ResourceAttributes, User};
use crate::authorization::Authorization;

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA: &str = "impersonate-extra-";
const ACCOUNT: &str = "system:serviceaccount:";

/// The user whom the request names, if `user` may ask as that one; `user` where none is named.
pub async fn impersonate(
    user: Arc<User>,
    headers: &HeaderMap,
    authorization: &Authorization,
) -> Result<Arc<User>, Status> {
    let Some(wanted) = wanted(headers)? else { return Ok(user) };
    for resource in asked(&wanted) {
        let resource = ResourceAttributes { version: "v1".into(), ..resource };
        let attributes = Attributes::question(user.clone(), "impersonate", resource);
        authorization.check(&attributes).await?;
    }
    Ok(Arc::new(completed(wanted)))
}

/// What the headers say.
fn wanted(headers: &HeaderMap) -> Result<Option<User>, Status> {
    let texts = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in headers.keys() {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
            extra.entry(key).or_default().extend(texts(name.as_str()));
        }
    }
    let uid = texts(UID).into_iter().next().unwrap_or_default();
    let groups = texts(GROUP);
    match texts(USER).into_iter().next().filter(|name| !name.is_empty()) {
        Some(name) => Ok(Some(User { name, uid, groups, extra })),
        None if uid.is_empty() && groups.is_empty() && extra.is_empty() => Ok(None),
        None => Err(Status::bad_request(
            "a group, a uid or an extra is impersonated, but no user: Impersonate-User is missing",
        )),
    }
}

/// What the user must be allowed to impersonate, each thing by itself.
fn asked(wanted: &User) -> Vec<ResourceAttributes> {
    let of = |resource: &str, name: &str| ResourceAttributes {
        resource: resource.into(),
        name: name.into(),
        ..ResourceAttributes::default()
    };
    let mut asked = vec![match service_account(&wanted.name) {
        Some((namespace, name)) => ResourceAttributes { namespace: namespace.into(), ..of("serviceaccounts", name) },
        None => of("users", &wanted.name),
    }];
    asked.extend(wanted.groups.iter().map(|group| of("groups", group)));
    let authentication =
        |attributes: ResourceAttributes| ResourceAttributes { group: "authentication.k8s.io".into(), ..attributes };
    if !wanted.uid.is_empty() {
        asked.push(authentication(of("uids", &wanted.uid)));
    }
    for (key, values) in &wanted.extra {
        let of_key =
            |value: &String| ResourceAttributes { subresource: key.clone(), ..authentication(of("userextras", value)) };
        asked.extend(values.iter().map(of_key));
    }
    asked
}

/// The groups that somebody of that name is in anyway.
fn completed(mut user: User) -> User {
    if user.groups.is_empty()
        && let Some((namespace, _)) = service_account(&user.name)
    {
        user.groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
    }
    let everybody = if user.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !user.groups.iter().any(|group| group == everybody) {
        user.groups.push(everybody.into());
    }
    user
}

fn service_account(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(ACCOUNT)?.split_once(':').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization::{Authorizer, Decision};

    /// Allows what its list names.
    struct May(&'static [&'static str]);

    #[async_trait::async_trait]
    impl Authorizer for May {
        async fn authorize(&self, attributes: &Attributes) -> Decision {
            let about = attributes.resource.as_ref().unwrap();
            let ResourceAttributes { group, resource, namespace, name, subresource, .. } = about;
            let asked = format!("{} {group}/{resource}/{subresource} {namespace}/{name}", attributes.verb);
            if self.0.contains(&asked.as_str()) { Decision::Allow } else { Decision::NoOpinion(String::new()) }
        }
    }

    async fn asks(may: &'static [&'static str], headers: &[(&str, &str)]) -> Result<String, u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        let authorization = Authorization::new(vec![Arc::new(May(may))]);
        let asker = Arc::new(User { name: "asker".into(), ..User::default() });
        let user = impersonate(asker, &map, &authorization).await.map_err(|status| status.code)?;
        Ok(format!("{} {} {:?}", user.name, user.groups.join(","), user.extra))
    }

    #[tokio::test]
    async fn each_part_must_be_allowed() {
        let ann = ("Impersonate-User", "ann");
        assert_eq!(asks(&[], &[]).await, Ok("asker  {}".into()));
        assert_eq!(asks(&[], &[ann]).await, Err(403));
        let users: &[&str] = &["impersonate /users/ /ann", "impersonate /groups/ /dev"];
        assert_eq!(asks(users, &[ann]).await, Ok("ann system:authenticated {}".into()));
        assert_eq!(
            asks(users, &[ann, ("Impersonate-Group", "dev")]).await,
            Ok("ann dev,system:authenticated {}".into())
        );
        assert_eq!(asks(users, &[ann, ("Impersonate-Group", "system:masters")]).await, Err(403));
        assert_eq!(asks(users, &[ann, ("Impersonate-Uid", "7")]).await, Err(403));
        assert_eq!(asks(users, &[("Impersonate-Group", "dev")]).await, Err(400));
        let extra = ("Impersonate-Extra-Acme.com%2Fproject", "x");
        assert_eq!(asks(users, &[ann, extra]).await, Err(403));
        let with_extra: &[&str] =
            &["impersonate /users/ /ann", "impersonate authentication.k8s.io/userextras/acme.com/project /x"];
        assert_eq!(
            asks(with_extra, &[ann, extra]).await,
            Ok("ann system:authenticated {\"acme.com/project\": [\"x\"]}".into())
        );
        let account: &[&str] = &["impersonate /serviceaccounts/ n/sa"];
        assert_eq!(
            asks(account, &[("Impersonate-User", "system:serviceaccount:n:sa")]).await,
            Ok("system:serviceaccount:n:sa system:serviceaccounts,system:serviceaccounts:n,system:authenticated {}"
                .into())
        );
        let nobody: &[&str] = &["impersonate /users/ /system:anonymous"];
        assert_eq!(
            asks(nobody, &[("Impersonate-User", "system:anonymous")]).await,
            Ok("system:anonymous system:unauthenticated {}".into())
        );
    }
}
