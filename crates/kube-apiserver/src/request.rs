//! The parameters of a request, and its headers as text.

use std::collections::HashMap;

use api::field::{Errors, Path};
use api::status::Status;
use http::HeaderMap;
use http::header::HeaderName;
use percent_encoding::percent_decode_str;

/// A header's value; empty where there is none, or none that is text.
pub fn text_of(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The parameters of a query. Of one that occurs twice the first counts, unless it is a list.
#[derive(Clone, Debug, Default)]
pub struct Query(HashMap<String, Vec<String>>);

impl Query {
    pub fn parse(query: Option<&str>) -> Self {
        let mut parameters: HashMap<String, Vec<String>> = HashMap::new();
        for pair in query.unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| {
                let spaced = text.replace('+', " ");
                percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
            };
            parameters.entry(decode(name)).or_default().push(decode(value));
        }
        Self(parameters)
    }

    pub fn list(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn text(&self, name: &str) -> &str {
        self.list(name).first().map_or("", String::as_str)
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.list(name).first().map(String::as_str), Some("" | "1" | "true" | "True" | "t"))
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        match self.text(name) {
            "" => Ok(None),
            text => match text.parse() {
                Ok(number) if number >= 0 => Ok(Some(number)),
                _ => Err(Status::bad_request(format!("{name}: Invalid value: {text:?}: must be a number, 0 or more"))),
            },
        }
    }

    /// `options`: the kind that the parameters stand for, such as `CreateOptions`.
    pub fn dry_run(&self, options: &str) -> Result<bool, Status> {
        let values: Vec<&str> = self.list("dryRun").iter().map(String::as_str).filter(|v| !v.is_empty()).collect();
        dry_run(options, &values)
    }
}

/// `All` is the only value of `dryRun` that there is.
pub fn dry_run(options: &str, values: &[&str]) -> Result<bool, Status> {
    if let Some(other) = values.iter().find(|value| **value != "All") {
        let mut errors = Errors::default();
        errors.not_supported(&Path::new("dryRun"), other, &["All"]);
        return Err(Status::invalid("meta.k8s.io", options, "", &errors));
    }
    Ok(!values.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse(Some("labelSelector=a%3Db,c+in+%28d%29&watch&limit=x&limit=1"));
        assert_eq!(query.text("labelSelector"), "a=b,c in (d)");
        assert!(query.flag("watch") && !query.flag("follow"));
        assert_eq!(query.number("limit").unwrap_err().code, 400);
    }

    #[test]
    fn every_value_of_dry_run_counts() {
        let dry_run = |query: &str| Query::parse(Some(query)).dry_run("CreateOptions").map_err(|status| status.code);
        assert_eq!((dry_run(""), dry_run("dryRun="), dry_run("dryRun=All")), (Ok(false), Ok(false), Ok(true)));
        assert_eq!((dry_run("dryRun=All&dryRun=Foo"), dry_run("dryRun=all")), (Err(422), Err(422)));
    }
}
