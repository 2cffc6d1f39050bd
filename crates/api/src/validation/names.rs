//! The formats of names. Each check returns what is wrong, in upstream's words; nothing when all is well.

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

fn dns_label_shape(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = text.as_bytes();
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|&c| inner(c))
}

fn qualified_shape(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    let bytes = text.as_bytes();
    let edge = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|&c| inner(c))
}

fn length(text: &str, limit: usize, problems: &mut Vec<String>) {
    if text.len() > limit {
        problems.push(format!("must be no more than {limit} bytes"));
    }
}

/// A lower-case RFC 1123 label, 63 bytes at most: namespaces, containers, ports' hosts.
pub fn dns_label(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    length(text, 63, &mut problems);
    if !dns_label_shape(text) {
        problems.push(format!(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
             end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"
        ));
    }
    problems
}

/// A lower-case RFC 1123 subdomain, 253 bytes at most: most objects.
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    length(text, 253, &mut problems);
    if !text.split('.').all(dns_label_shape) {
        problems.push(format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '{LABEL}(\\.{LABEL})*')"
        ));
    }
    problems
}

/// A subdomain whose first label is `*`.
pub fn wildcard_dns(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    length(text, 253, &mut problems);
    if !text.strip_prefix("*.").is_some_and(|rest| rest.split('.').all(dns_label_shape)) {
        problems.push(format!(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of \
             lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. \
             '*.example.com', regex used for validation is '\\*\\.{LABEL}(\\.{LABEL})*')"
        ));
    }
    problems
}

/// An address as it is written when it is the name of an object.
pub fn canonical_ip(text: &str) -> Vec<String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(ip) if ip.to_string() == text => Vec::new(),
        Ok(ip) => vec![format!("must be an IP address in canonical format ({:?})", ip.to_string())],
        Err(_) => vec!["must be a valid IP address".to_owned()],
    }
}

/// `example.com/what`: who it is of, and what.
pub fn domain_prefixed_path(text: &str) -> Vec<String> {
    let why = || vec!["must be a domain-prefixed path (such as \"acme.io/foo\")".to_owned()];
    match text.split_once('/') {
        Some((domain, path)) if !path.is_empty() => {
            let mut problems = dns_subdomain(domain);
            if path.split('/').any(|part| part.is_empty() || !path_segment(part).is_empty()) {
                problems.extend(why());
            }
            problems
        }
        _ => why(),
    }
}

/// A name that is a part of a path and nothing more: of roles and their bindings.
pub fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"].iter().filter(|bad| text.contains(**bad)).map(|bad| format!("may not contain '{bad}'")).collect()
}

/// An RFC 1035 label, 63 bytes at most: services.
pub fn dns_1035_label(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    length(text, 63, &mut problems);
    if !dns_label_shape(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        problems.push(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
             validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
                .to_owned(),
        );
    }
    problems
}

/// What the name part of a key must be.
const NAME_PART: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
                         character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// The key of a label or annotation: an optional DNS prefix and a name.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    if name.contains('/') {
        return vec![format!(
            "a qualified name {NAME_PART} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        )];
    }
    match prefix {
        None => {}
        Some("") => problems.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => problems.extend(dns_subdomain(prefix).into_iter().map(|p| format!("prefix part {p}"))),
    }
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        problems.push("name part must be no more than 63 bytes".to_owned());
    }
    if !qualified_shape(name) {
        problems.push(format!("name part {NAME_PART}"));
    }
    problems
}

pub fn label_value(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    length(text, 63, &mut problems);
    if !text.is_empty() && !qualified_shape(text) {
        problems.push(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
             for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                .to_owned(),
        );
    }
    problems
}

/// The key of a ConfigMap or Secret: a file name.
pub fn config_key(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    length(text, 253, &mut problems);
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')) {
        problems.push(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
             'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                .to_owned(),
        );
    }
    if text == "." || text == ".." || text.starts_with("..") {
        problems.push("must not start with '..' and must not be '.'".to_owned());
    }
    problems
}

/// The name of an environment variable: any printable ASCII but `=`.
pub fn env_var(text: &str) -> Vec<String> {
    let printable = !text.is_empty() && text.bytes().all(|c| (0x20..0x7f).contains(&c) && c != b'=');
    if printable {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}

/// What the name of a kernel parameter must be; its parts may be parted by slashes as well.
pub const SYSCTL: &str = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";

pub fn is_sysctl(text: &str) -> bool {
    let part = |part: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        edge(part.chars().next()) && edge(part.chars().last()) && part.chars().all(inner)
    };
    text.len() <= 253 && text.split(['.', '/']).all(part)
}

/// The name of a container's port.
pub fn port_name(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > 15 {
        problems.push("must be no more than 15 characters".to_owned());
    }
    if !text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-') {
        problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|c| c.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        problems.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        problems.push("must not begin or end with a hyphen".to_owned());
    }
    problems
}

pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec!["must be between 1 and 65535, inclusive".to_owned()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_names() {
        for good in ["a", "a-b", "0a", "a.b-c.d"] {
            assert!(dns_subdomain(good).is_empty(), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", ".a"] {
            assert!(!dns_subdomain(bad).is_empty(), "{bad}");
        }
        assert!(dns_label("a.b").len() == 1 && dns_label(&"a".repeat(64)).len() == 1);
        assert!(!dns_1035_label("1a").is_empty() && dns_1035_label("a1").is_empty());
        for good in ["a", "A_b.c", "example.com/x"] {
            assert!(qualified_name(good).is_empty(), "{good}");
        }
        for bad in ["", "/x", "x/", "a/b/c", "Ex.com/x", "-a"] {
            assert!(!qualified_name(bad).is_empty(), "{bad}");
        }
        assert!(label_value("").is_empty() && !label_value("a b").is_empty());
        assert!(config_key("a.b_C").is_empty() && !config_key("a/b").is_empty() && !config_key("..x").is_empty());
        assert!(port_name("http").is_empty() && !port_name("80").is_empty() && !port_name("a--b").is_empty());
    }
}
