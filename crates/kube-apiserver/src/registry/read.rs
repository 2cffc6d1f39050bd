//! Get, list and watch.

use std::sync::Arc;

use api::selector::{FieldSelector, Selector};
use api::status::Status;
use base64::Engine;
use serde_json::json;
use storage::{Entry, Filter, Watcher};

use super::{Object, Registry, Target, backend_status, cache_status, prefix};

/// How a list's resource version is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VersionMatch {
    #[default]
    NotOlderThan,
    Exact,
}

#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    pub labels: Selector,
    pub fields: FieldSelector,
    /// `None`: as fresh as etcd. `Some(0)`: as the cache is.
    pub version: Option<i64>,
    pub version_match: VersionMatch,
    /// 0: all.
    pub limit: usize,
    /// Where the page before ended.
    pub continued: String,
}

impl ListOptions {
    /// Only then it is said how many remain: nobody counts what selectors would leave.
    fn selects_all(&self) -> bool {
        self.labels.is_everything() && self.fields.requirements().is_empty()
    }
}

pub struct Listed {
    pub revision: i64,
    pub entries: Vec<Object>,
    /// Empty on the last page.
    pub continued: String,
    /// Objects after this page, where that is known.
    pub remaining: Option<i64>,
}

impl Registry {
    /// As fresh as etcd.
    pub async fn get(&self, target: &Target) -> Result<Object, Status> {
        target.store.catch_up().await.map_err(cache_status)?;
        target.store.get(&target.key()).ok_or_else(|| target.not_found())
    }

    /// At least as fresh as `version`; 0 is what the cache has.
    pub async fn get_cached(&self, target: &Target, version: i64) -> Result<Object, Status> {
        if version > 0 || !target.store.is_ready() {
            target.store.wait_for(version.max(1)).await.map_err(cache_status)?;
        }
        target.store.get(&target.key()).ok_or_else(|| target.not_found())
    }

    /// What the cache has of the kind in the target's namespace.
    pub(crate) async fn list_cached(&self, target: &Target) -> Result<Vec<Object>, Status> {
        if !target.store.is_ready() {
            target.store.wait_for(1).await.map_err(cache_status)?;
        }
        Ok(target.store.list(&Filter { namespace: target.namespace.clone(), ..Filter::default() }).entries)
    }

    pub fn filter(&self, target: &Target, labels: &Selector, fields: &FieldSelector) -> Result<Filter, Status> {
        let selectable = target.resource().selectable;
        let names = target.form().form.fields;
        let stored = |field: &str| names.iter().find(|(here, _)| *here == field).map(|(_, stored)| *stored);
        let stored = fields.clone().renamed(stored);
        Filter::new(&target.namespace, &target.name, labels.clone(), &stored, selectable).map_err(|e| {
            Status::bad_request(format!(
                "Unable to find {:?} that match label selector {:?}, field selector {:?}: {e}",
                target.resource().qualified(),
                labels.to_string(),
                fields.to_string()
            ))
        })
    }

    pub async fn list(&self, target: &Target, options: &ListOptions) -> Result<Listed, Status> {
        let filter = self.filter(target, &options.labels, &options.fields)?;
        if !options.continued.is_empty() {
            let token = Token::read(&options.continued)?;
            if token.revision == Token::NEWEST {
                target.store.catch_up().await.map_err(cache_status)?;
                let list = target.store.list(&filter);
                return Ok(rest_of(list.revision, list.entries, &token, options));
            }
            return self.list_from(target, &filter, options, token).await;
        }
        match (options.version, options.version_match) {
            (Some(version), VersionMatch::Exact) if version > 0 => {
                let token = Token { revision: version, after: String::new() };
                return self.list_from(target, &filter, options, token).await;
            }
            (Some(version), _) => target.store.wait_for(version.max(1)).await.map_err(cache_status)?,
            (None, _) => {
                target.store.catch_up().await.map_err(cache_status)?;
            }
        }
        let list = target.store.list(&filter);
        // As upstream: who takes what the cache has gets all of it.
        let limit = if options.version == Some(0) { 0 } else { options.limit };
        let mut listed = page(list.revision, list.entries, limit);
        listed.remaining = listed.remaining.filter(|_| options.selects_all());
        Ok(listed)
    }

    /// A page of the list as it was at a revision.
    async fn list_from(
        &self,
        target: &Target,
        filter: &Filter,
        options: &ListOptions,
        token: Token,
    ) -> Result<Listed, Status> {
        let limit = options.limit;
        if target.store.unchanged_since(token.revision) {
            return Ok(rest_of(token.revision, target.store.list(filter).entries, &token, options));
        }
        // etcd keeps history; the cache does not.
        let resource = target.resource();
        let folder = prefix(resource);
        let scope = if filter.namespace.is_empty() { folder.clone() } else { format!("{folder}{}/", filter.namespace) };
        let end = format!("{}0", &scope[..scope.len() - 1]);
        let mut start = if token.after.is_empty() { scope } else { format!("{folder}{}\0", token.after) };
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        let mut from_here = None;
        loop {
            let batch = match self.backend.range(&start, &end, 500, token.revision).await {
                Err(storage::Error::Compacted(_)) => return Err(token.expired()),
                batch => batch.map_err(backend_status)?,
            };
            // What etcd counts is all that is left, of what a selector wants or not.
            let count = *from_here.get_or_insert(batch.count);
            if let Some(last) = batch.items.last() {
                start = format!("{}\0", last.key);
            }
            for item in &batch.items {
                let entry = target.store.entry(&item.key[folder.len()..], &item.value, item.revision);
                if filter.matches(&entry) {
                    entries.push(Arc::new(entry));
                }
            }
            // One more than asked for tells that there is a next page.
            if !batch.more || (limit > 0 && entries.len() > limit) {
                let mut listed = page(token.revision, entries, limit);
                let shown = listed.entries.len() as i64;
                listed.remaining = listed.remaining.filter(|_| options.selects_all()).map(|_| count - shown);
                return Ok(listed);
            }
        }
    }

    /// The list and every change after it.
    pub async fn list_and_watch(
        &self,
        target: &Target,
        filter: Filter,
        version: Option<i64>,
    ) -> Result<(Listed, Watcher), Status> {
        match version {
            None => {
                target.store.catch_up().await.map_err(cache_status)?;
            }
            Some(version) => target.store.wait_for(version.max(1)).await.map_err(cache_status)?,
        }
        let (list, watcher) = target.store.list_and_watch(filter);
        Ok((page(list.revision, list.entries, 0), watcher))
    }

    /// Every change after a version, from a store that is as fresh as etcd.
    pub async fn resume(&self, target: &Target, filter: Filter, after: i64) -> Result<Watcher, Status> {
        target.store.catch_up().await.map_err(cache_status)?;
        self.watch(target, filter, after).await
    }

    /// Every change after a version.
    pub async fn watch(&self, target: &Target, filter: Filter, after: i64) -> Result<Watcher, Status> {
        target.store.wait_for(after.max(1)).await.map_err(cache_status)?;
        target.store.watch(filter, after).map_err(cache_status)
    }
}

/// The page that a token asks for, out of all that there is.
fn rest_of(revision: i64, mut entries: Vec<Object>, token: &Token, options: &ListOptions) -> Listed {
    entries.retain(|entry| *entry.key > *token.after);
    let mut listed = page(revision, entries, options.limit);
    listed.remaining = listed.remaining.filter(|_| options.selects_all());
    listed
}

fn page(revision: i64, mut entries: Vec<Object>, limit: usize) -> Listed {
    if limit == 0 || entries.len() <= limit {
        return Listed { revision, entries, continued: String::new(), remaining: None };
    }
    let remaining = Some((entries.len() - limit) as i64);
    entries.truncate(limit);
    let after = entries.last().map_or_else(String::new, |entry| entry.key.to_string());
    Listed { revision, entries, continued: Token { revision, after }.write(), remaining }
}

/// What a client hands back for the next page.
struct Token {
    /// Of the whole list, or [`Self::NEWEST`].
    revision: i64,
    /// The last key of the page before.
    after: String,
}

impl Token {
    /// The page after the last key of one whose history is gone: as things are now.
    const NEWEST: i64 = -1;

    fn expired(self) -> Status {
        match self.after.is_empty() {
            true => Status::expired("The resourceVersion for the provided list is too old."),
            false => Status::expired_page(Self { revision: Self::NEWEST, after: self.after }.write()),
        }
    }

    fn write(&self) -> String {
        let text = json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.after}).to_string();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    }

    fn read(text: &str) -> Result<Self, Status> {
        let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok();
        let json: Option<serde_json::Value> = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let read = json.as_ref().and_then(|json| Some((json["rv"].as_i64()?, json["start"].as_str()?)));
        let (revision, after) =
            read.ok_or_else(|| Status::bad_request("continue key is not valid: it is not one that a list returned"))?;
        Ok(Self { revision, after: after.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_garbage_is_refused() {
        let token = Token::read(&Token { revision: 7, after: "ns/é".into() }.write()).unwrap();
        assert_eq!((token.revision, token.after.as_str()), (7, "ns/é"));
        for bad in ["x", "e30", "%%%"] {
            assert_eq!(Token::read(bad).map(|t| t.revision).unwrap_err().code, 400, "{bad}");
        }
    }
}
