//! `--runtime-config`: which versions of which groups are served.

use std::collections::HashSet;

use daemon::FlagError;

const FLAG: &str = "runtime-config";

/// The groups and versions that are not to be served. `settings`: `KEY=BOOL`, where the key is `GROUP/VERSION`, `api/VERSION` for the core
/// group, or `api/all`, `api/ga`, `api/beta`, `api/alpha`. What names a version counts more than what names a level, and that more than all.
pub fn off(
    settings: &[String],
    groups: &[(&'static str, Vec<&'static str>)],
) -> Result<HashSet<(&'static str, &'static str)>, FlagError> {
    let mut wanted: Vec<(&str, bool)> = Vec::new();
    for setting in settings.iter().filter(|setting| !setting.is_empty()) {
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        let on = match value {
            "" | "true" | "True" | "TRUE" | "t" | "T" | "1" => true,
            "false" | "False" | "FALSE" | "f" | "F" | "0" => false,
            _ => return Err(FlagError::new(FLAG, setting, "the value must be true or false")),
        };
        let level = ["api/all", "api/ga", "api/beta", "api/alpha"].contains(&key);
        if !level && !versions(groups).any(|(group, version)| names(key, group, version)) {
            return Err(FlagError::new(
                FLAG,
                setting,
                "is no group and version of this server, such as apps/v1beta1 or api/v1beta3",
            ));
        }
        wanted.push((key, on));
    }
    // Of a key that is given twice the last value counts.
    let find = |key: &dyn Fn(&str) -> bool| wanted.iter().rev().find(|(has, _)| key(has)).map(|(_, on)| *on);
    let on = |group: &str, version: &str| {
        find(&|key| names(key, group, version))
            .or_else(|| find(&|key| key == level_of(version)))
            .or_else(|| find(&|key| key == "api/all"))
            .unwrap_or(true)
    };
    Ok(versions(groups).filter(|(group, version)| !on(group, version)).collect())
}

fn versions<'a>(
    groups: &'a [(&'static str, Vec<&'static str>)],
) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
    groups.iter().flat_map(|(group, versions)| versions.iter().map(move |version| (*group, *version)))
}

fn names(key: &str, group: &str, version: &str) -> bool {
    match key.split_once('/') {
        Some((of, which)) => which == version && (of == group && !group.is_empty() || of == "api" && group.is_empty()),
        None => group.is_empty() && key == version,
    }
}

fn level_of(version: &str) -> &'static str {
    match version {
        version if version.contains("alpha") => "api/alpha",
        version if version.contains("beta") => "api/beta",
        _ => "api/ga",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(settings: &str) -> Result<Vec<String>, String> {
        let groups = [("", vec!["v1", "v1beta3", "v1beta1"]), ("apps", vec!["v1", "v1beta1"])];
        let settings: Vec<String> = settings.split(',').map(str::to_owned).collect();
        let off = off(&settings, &groups).map_err(|error| error.to_string())?;
        let mut off: Vec<String> = off.into_iter().map(|(group, version)| format!("{group}/{version}")).collect();
        off.sort();
        Ok(off)
    }

    #[test]
    fn what_is_said_more_exactly_counts() {
        for (settings, off) in [
            ("", vec![]),
            ("api/all=true", vec![]),
            ("api/v1beta1=false", vec!["/v1beta1"]),
            ("v1beta1=false,api/v1beta1", vec![]),
            ("api/beta=false", vec!["/v1beta1", "/v1beta3", "apps/v1beta1"]),
            ("apps/v1beta1=true,api/beta=0", vec!["/v1beta1", "/v1beta3"]),
            ("api/all=false,api/ga=true", vec!["/v1beta1", "/v1beta3", "apps/v1beta1"]),
            ("api/all=false,api/v1=true,apps/v1=true,api/v1beta3=true", vec!["/v1beta1", "apps/v1beta1"]),
        ] {
            assert_eq!(told(settings), Ok(off.iter().map(|o| (*o).to_owned()).collect()), "{settings}");
        }
        for wrong in ["apps/v2=true", "nope/v1", "api/apps", "apps/v1=maybe", "apps/v1/deployments=false"] {
            assert!(told(wrong).unwrap_err().contains("--runtime-config"), "{wrong}");
        }
    }
}
