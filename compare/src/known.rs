//! The differences that are meant, with their reasons. A row that matches nothing any more is told, so that they only become fewer.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::answer::Difference;

/// `*` stands for any text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// `FILE: METHOD PATH`
    #[serde(default = "anything")]
    step: String,
    /// Where in the answer.
    at: String,
    #[serde(default = "anything")]
    ours: String,
    #[serde(default = "anything")]
    theirs: String,
    /// The newer documentation that says so.
    because: String,
    #[serde(skip)]
    used: bool,
}

fn anything() -> String {
    "*".into()
}

pub struct Known(Vec<Row>);

impl Known {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Self(serde_yaml::from_str(&text).with_context(|| path.display().to_string())?))
    }

    pub fn explains(&mut self, step: &str, found: &Difference) -> bool {
        let matches = |row: &Row| {
            matches(&row.step, step)
                && matches(&row.at, &found.at)
                && matches(&row.ours, &found.ours)
                && matches(&row.theirs, &found.theirs)
        };
        match self.0.iter_mut().find(|row| matches(row)) {
            Some(row) => {
                row.used = true;
                true
            }
            None => false,
        }
    }

    pub fn unused(&self) -> Vec<String> {
        let unused = self.0.iter().filter(|row| !row.used);
        unused.map(|row| format!("{} at {} ({})", row.step, row.at, row.because)).collect()
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, yes) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
            ("ab*b", "ab", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), yes, "{pattern} {text}");
        }
    }
}
