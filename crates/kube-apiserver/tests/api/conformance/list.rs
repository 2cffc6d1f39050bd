//! Upstream's list itself: that ours is all of it, and that what it calls covered is.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

const LIST: &str = include_str!("list.tsv");

/// Of the lines `testname`, tab, `codename` of all rows of upstream's list, in its order: no row is missing here, and none is made up.
const DIGEST: &str = "063163e667187463207f0bf571466ad7562fa4e29f1f80bada08855d0ee72a3e";

const SOURCES: [(&str, &str); 10] = [
    ("discovery", include_str!("discovery.rs")),
    ("lists", include_str!("lists.rs")),
    ("namespaces", include_str!("namespaces.rs")),
    ("objects", include_str!("objects.rs")),
    ("operations", include_str!("operations.rs")),
    ("parts", include_str!("parts.rs")),
    ("users", include_str!("users.rs")),
    ("validation", include_str!("validation.rs")),
    ("watches", include_str!("watches.rs")),
    ("crate::bootstrap", include_str!("../../../src/bootstrap.rs")),
];

/// Upstream's name, the long one, and where it is covered or what a test of it would need.
fn rows() -> Vec<(&'static str, &'static str, &'static str)> {
    let row = |line: &'static str| {
        let parts: Vec<&str> = line.split('\t').collect();
        let [testname, codename, place] = parts[..] else { panic!("{line}") };
        (testname, codename, place)
    };
    LIST.lines().map(row).collect()
}

#[test]
fn the_list_is_upstreams() {
    let mut digest = Sha256::new();
    for (testname, codename, _) in rows() {
        digest.update(format!("{testname}\t{codename}\n"));
    }
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, DIGEST);
}

#[test]
fn what_is_covered_has_a_test_that_names_it() {
    let mut covered = BTreeSet::new();
    for (testname, codename, place) in rows() {
        if place.starts_with("needs ") {
            continue;
        }
        covered.insert(testname);
        for test in place.split(", ") {
            let (module, function) = test.rsplit_once("::").unwrap_or_else(|| panic!("{codename}: {place}"));
            let (_, source) =
                SOURCES.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{codename}: {module}"));
            assert!(source.contains(&format!("async fn {function}()")), "{codename}: there is no test {test}");
            assert!(source.contains(&format!("\"{testname}\"")), "{codename}: {module} does not name {testname:?}");
        }
    }
    // And the other way: a test names rows that there are, and says so in the list.
    for (module, source) in SOURCES {
        let named =
            source.lines().filter_map(|line| line.trim().strip_prefix("/// Conformance: \"")?.strip_suffix('"'));
        for testname in named {
            assert!(covered.contains(testname), "{module}: {testname:?} is not covered, says the list");
        }
    }
}

#[test]
fn what_needs_more_than_the_api_server_says_what() {
    let needs: BTreeSet<&str> = rows().iter().filter_map(|row| row.2.strip_prefix("needs ")).collect();
    let known = |need: &&str| {
        ["nodes", "custom resources", "admission webhooks", "aggregated API servers", "policies of admission"]
            .contains(need)
            || ["kube-controller-manager: ", "kube-scheduler", "kubectl"].iter().any(|daemon| need.starts_with(daemon))
    };
    assert!(needs.iter().all(known), "{needs:?}");
}
