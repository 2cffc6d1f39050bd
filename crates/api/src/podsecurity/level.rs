//! Levels and versions, and how a namespace's labels ask for them.

use std::fmt;
use std::str::FromStr;

use crate::field::{Errors, Path};

/// The later, the stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

impl FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "privileged" => Ok(Self::Privileged),
            "baseline" => Ok(Self::Baseline),
            "restricted" => Ok(Self::Restricted),
            _ => Err("must be one of privileged, baseline, restricted"),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    #[default]
    Latest,
    /// `v1.` and this.
    Minor(u32),
}

impl FromStr for Version {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "must be \"latest\" or \"v1.x\"";
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let minor = text.strip_prefix("v1.").ok_or(wrong)?;
        let plain = minor == "0" || (!minor.starts_with('0') && minor.bytes().all(|byte| byte.is_ascii_digit()));
        minor.parse().ok().filter(|_| plain).map(Self::Minor).ok_or(wrong)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Minor(minor) => write!(f, "v1.{minor}"),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelVersion {
    pub level: Level,
    pub version: Version,
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.version)
    }
}

/// What is refused, what is noted, and what is warned of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub enforce: LevelVersion,
    pub audit: LevelVersion,
    pub warn: LevelVersion,
}

const PREFIX: &str = "pod-security.kubernetes.io/";

impl Policy {
    /// Nothing is looked at.
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|mode| mode.level == Level::Privileged)
    }

    /// What a namespace's labels ask for, beyond the defaults. Of a wrong level the strictest is enforced, and nothing is warned of.
    pub fn of_labels<'a>(label: impl Fn(&str) -> Option<&'a str>, defaults: &Policy) -> (Self, Errors) {
        let (mut policy, mut errors) = (*defaults, Errors::default());
        let text = |name: &str| label(&format!("{PREFIX}{name}"));
        let metadata = Path::new("metadata");
        let place = metadata.child("labels");
        let mut wrong = |label: &str, value: &str, why: &str| {
            errors.invalid(&place.key(&format!("{PREFIX}{label}")), value, why);
        };
        let mut read = |mode: &mut LevelVersion, name: &str, otherwise: Level| -> (Option<bool>, bool) {
            let level = text(name).map(|value| match value.parse() {
                Ok(level) => {
                    mode.level = level;
                    true
                }
                Err(why) => {
                    mode.level = otherwise;
                    wrong(name, value, why);
                    false
                }
            });
            let of_version = format!("{name}-version");
            let version = text(&of_version);
            if let Some(value) = version {
                mode.version = value.parse().unwrap_or_else(|why| {
                    wrong(&of_version, value, why);
                    Version::Latest
                });
            }
            (level, version.is_some())
        };
        let (enforced, _) = read(&mut policy.enforce, "enforce", Level::Restricted);
        read(&mut policy.audit, "audit", Level::Privileged);
        let (warned, warned_version) = read(&mut policy.warn, "warn", Level::Privileged);
        // Templates are not refused, so who enforces a level hears of them at least.
        if warned.is_none() && enforced == Some(true) && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if !warned_version {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn versions() {
        for (text, version) in [
            ("latest", Some(Version::Latest)),
            ("v1.0", Some(Version::Minor(0))),
            ("v1.37", Some(Version::Minor(37))),
            ("v1.07", None),
            ("v1.+7", None),
            ("v1.", None),
            ("1.7", None),
            ("v1.99999999999", None),
        ] {
            assert_eq!(text.parse().ok(), version, "{text}");
        }
    }

    #[test]
    fn labels_ask_for_levels() {
        let of = |labels: Value| {
            let label =
                |name: &str| name.strip_prefix(PREFIX).and_then(|name| labels.get(name)).and_then(Value::as_str);
            let (policy, errors) = Policy::of_labels(label, &Policy::default());
            let wrong: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
            (format!("{} {} {}", policy.enforce, policy.audit, policy.warn), wrong.join(", "))
        };
        for (labels, policy, wrong) in [
            (json!({}), "privileged:latest privileged:latest privileged:latest", ""),
            (
                json!({"enforce": "baseline", "enforce-version": "v1.20"}),
                "baseline:v1.20 privileged:latest baseline:v1.20",
                "",
            ),
            (
                json!({"enforce": "baseline", "warn": "restricted", "audit": "baseline", "audit-version": "v1.1"}),
                "baseline:latest baseline:v1.1 restricted:latest",
                "",
            ),
            (
                json!({"enforce": "baseline", "warn": "privileged"}),
                "baseline:latest privileged:latest privileged:latest",
                "",
            ),
            (
                json!({"enforce": "strict", "warn-version": "1"}),
                "restricted:latest privileged:latest privileged:latest",
                "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted, \
                 metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"1\": must be \"latest\" or \"v1.x\"",
            ),
        ] {
            assert_eq!(of(labels.clone()), (policy.to_owned(), wrong.to_owned()), "{labels}");
        }
    }
}
