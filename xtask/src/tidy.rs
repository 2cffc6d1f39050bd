//! Checks that no compiler makes: which crate may use which, and how files look.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::cluster::root;

/// A crate and the crates of this workspace that it may use: imports run downwards only.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("api", &[]),
    ("rpc", &[]),
    ("daemon", &[]),
    ("storage", &["api"]),
    ("client", &["api", "daemon", "rpc"]),
    ("testkit", &[]),
    ("kube-apiserver", &["api", "daemon", "rpc", "storage"]),
    ("kube-controller-manager", &["api", "client", "daemon"]),
    ("kube-scheduler", &["api", "client", "daemon"]),
    ("kubelet", &["api", "client", "daemon", "rpc"]),
    ("kube-proxy", &["api", "client", "daemon"]),
    ("kubectl", &["api"]),
    ("pause", &[]),
    ("testapi", &["api", "client", "daemon", "kube-apiserver", "rpc", "storage"]),
    ("xtask", &["testkit"]),
];

const LONGEST_FILE: usize = 600;

pub fn check() -> Result<()> {
    let root = root();
    let mut problems = Vec::new();
    for (name, allowed) in MAY_USE {
        let folder = if name == "xtask" { root.join("xtask") } else { root.join("crates").join(name) };
        imports(&folder, name, allowed, &mut problems)?;
        files(&folder.join("src"), &mut problems)?;
    }
    for entry in fs::read_dir(root.join("crates"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !MAY_USE.iter().any(|(known, _)| *known == name) {
            problems.push(format!("crates/{name}: xtask/src/tidy.rs does not say what it may use"));
        }
    }
    if problems.is_empty() {
        println!("tidy: {} crates", MAY_USE.len());
        return Ok(());
    }
    bail!("{}", problems.join("\n"))
}

fn imports(folder: &Path, name: &str, allowed: &[&str], problems: &mut Vec<String>) -> Result<()> {
    let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or("");
    let dependencies = dependencies.split("\n[").next().unwrap_or("");
    for line in dependencies.lines() {
        let used = line.split(['.', ' ', '=']).next().unwrap_or("");
        if MAY_USE.iter().any(|(known, _)| *known == used) && !allowed.contains(&used) {
            problems.push(format!("{name} uses {used}, which is not below it"));
        }
    }
    Ok(())
}

fn files(folder: &Path, problems: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, problems)?;
            continue;
        }
        if path.extension().is_none_or(|ending| ending != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let shown = path.display();
        let test = path.file_stem().is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"));
        let below_tests = path.components().any(|part| part.as_os_str() == "tests");
        if !test && !below_tests && !text.starts_with("//!") {
            problems.push(format!("{shown}: begins without //! saying what it owns"));
        }
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            problems.push(format!("{shown}: {lines} lines; are there two ideas in it?"));
        }
    }
    Ok(())
}
