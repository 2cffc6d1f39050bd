//! `audit.k8s.io/v1` `Event`: one request at one stage, as a line of JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use api::schema::builtin;
use api::schema::protobuf::MEDIA_TYPE;
use http::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::attributes::Attributes;

/// As upstream, of the header.
const MAX_AGENT: usize = 1024;
/// Of the addresses that a client's proxies claim.
const MAX_ADDRESSES: usize = 32;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<'a> {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub level: &'static str,
    #[serde(rename = "auditID")]
    pub audit_id: &'a str,
    pub stage: &'static str,
    #[serde(rename = "requestURI")]
    pub request_uri: &'a str,
    pub verb: &'a str,
    pub user: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonated_user: Option<&'a Value>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[_]>::is_empty")]
    pub source_ips: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    pub user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_ref: Option<&'a ObjectReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_object: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_object: Option<&'a Value>,
    pub request_received_timestamp: String,
    pub stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<Cow<'static, str>, String>,
}

/// What a request is about.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

impl ObjectReference {
    pub fn of(attributes: &Attributes) -> Option<Self> {
        let about = attributes.resource.as_ref()?;
        Some(Self {
            resource: about.resource.clone(),
            namespace: about.namespace.clone(),
            name: about.name.clone(),
            api_group: about.group.clone(),
            api_version: about.version.clone(),
            subresource: about.subresource.clone(),
            ..Self::default()
        })
    }

    /// What the path does not say, out of the body.
    pub fn complete(&mut self, object: &Value) {
        let metadata = &object["metadata"];
        for (field, name) in [
            (&mut self.namespace, "namespace"),
            (&mut self.name, "name"),
            (&mut self.uid, "uid"),
            (&mut self.resource_version, "resourceVersion"),
        ] {
            if field.is_empty() {
                *field = metadata[name].as_str().unwrap_or("").to_owned();
            }
        }
    }
}

/// `metav1.MicroTime`
pub fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

pub fn user_agent(headers: &HeaderMap) -> String {
    let agent = headers.get(http::header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut agent = agent.map(Cow::into_owned).unwrap_or_default();
    if agent.len() > MAX_AGENT {
        let end = (0..=MAX_AGENT).rev().find(|at| agent.is_char_boundary(*at)).unwrap_or(0);
        agent.truncate(end);
        agent.push_str("...TRUNCATED");
    }
    agent
}

/// As upstream tells them: what proxies say first, and the peer of the connection last. They are claims, all but the last.
pub fn source_ips(headers: &HeaderMap, peer: Option<IpAddr>) -> Vec<String> {
    let texts = |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let forwarded = texts("x-forwarded-for").flat_map(|list| list.split(',')).chain(texts("x-real-ip"));
    let addresses = forwarded.filter_map(|text| text.trim().parse::<IpAddr>().ok()).take(MAX_ADDRESSES);
    let mut told: Vec<String> = Vec::new();
    for address in addresses.chain(peer.map(|peer| peer.to_canonical())) {
        let address = address.to_string();
        if !told.contains(&address) {
            told.push(address);
        }
    }
    told
}

/// A body as JSON, whatever it is written in; `None` for what is no object that we know.
pub fn object_of(content_type: &str, body: &[u8]) -> Option<Value> {
    if body.is_empty() {
        return None;
    }
    match content_type.split(';').next().unwrap_or("").trim() {
        MEDIA_TYPE => builtin().read_protobuf(body).ok(),
        media if media.ends_with("yaml") => api::yaml::read(body, &mut Vec::new()).ok(),
        "" => serde_json::from_slice(body).ok(),
        media if media.ends_with("json") => serde_json::from_slice(body).ok(),
        _ => None,
    }
}

/// Without `managedFields`, of an object and of the items of a list.
pub fn without_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(without_managed_fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_once_and_only_where_they_are_some() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "10.0.0.1, nonsense,::1".parse().unwrap());
        headers.insert("x-real-ip", "10.0.0.1".parse().unwrap());
        let peer = Some("::ffff:10.0.0.2".parse().unwrap());
        assert_eq!(source_ips(&headers, peer), ["10.0.0.1", "::1", "10.0.0.2"]);
        assert!(source_ips(&HeaderMap::new(), None).is_empty());
    }

    #[test]
    fn long_agents_are_cut() {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", http::HeaderValue::from_bytes("ä".repeat(600).as_bytes()).unwrap());
        let agent = user_agent(&headers);
        assert!(agent.ends_with("ä...TRUNCATED") && agent.len() == 1024 + 12);
    }

    #[test]
    fn times_have_six_digits() {
        assert_eq!(micro_time("2026-11-26T09:01:14Z".parse().unwrap()), "2026-11-26T09:01:14.000000Z");
    }
}
