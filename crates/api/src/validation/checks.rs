//! Checks of single values that many types share, in upstream's words.

use std::net::IpAddr;

use serde_json::Value;

use super::names;
use crate::field::{Errors, Path};

pub const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
/// What times in seconds and user IDs may be at most.
pub const MAX_INT32: i64 = i32::MAX as i64;

/// One of these values; none at all is an error too.
pub fn supported(value: &str, values: &[&str], path: &Path<'_>, errors: &mut Errors) {
    if value.is_empty() {
        errors.required(path, "");
    } else if !values.contains(&value) {
        errors.not_supported(path, value, values);
    }
}

/// As [`supported`], where the field may be left out.
pub fn supported_if_set(value: Option<&str>, values: &[&str], path: &Path<'_>, errors: &mut Errors) {
    if let Some(value) = value.filter(|value| !values.contains(value)) {
        errors.not_supported(path, value, values);
    }
}

pub fn not_negative(value: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(value) = value.filter(|v| *v < 0) {
        errors.invalid(path, value, NOT_NEGATIVE);
    }
}

/// These fields of a part of an object count something.
pub fn counts(object: &Value, part: &str, fields: &[&str], errors: &mut Errors) {
    let path = Path::new(part);
    for field in fields {
        let value = object.get(part).and_then(|part| part.get(field)).and_then(Value::as_i64);
        not_negative(value, &path.child(field), errors);
    }
}

/// Both ends belong to it.
pub fn between(value: Option<i64>, (low, high): (i64, i64), path: &Path<'_>, errors: &mut Errors) {
    if let Some(value) = value.filter(|value| !(low..=high).contains(value)) {
        errors.invalid(path, value, format!("must be between {low} and {high}, inclusive"));
    }
}

/// A span of seconds that the cluster can count with. Negative ones have words of their own.
pub fn seconds(value: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    not_negative(value, path, errors);
    between(value.filter(|value| *value >= 0), (0, MAX_INT32), path, errors);
}

pub fn required(value: &str, path: &Path<'_>, errors: &mut Errors) {
    if value.is_empty() {
        errors.required(path, "");
    }
}

/// Required, and of a format.
pub fn named(value: &str, rule: fn(&str) -> Vec<String>, path: &Path<'_>, errors: &mut Errors) {
    if value.is_empty() {
        errors.required(path, "");
    } else {
        errors.extend(path, value, rule(value));
    }
}

/// Of a format, where it is set.
pub fn named_if_set(value: Option<&str>, rule: fn(&str) -> Vec<String>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        errors.extend(path, value, rule(value));
    }
}

pub fn port_number(port: i32, path: &Path<'_>, errors: &mut Errors) {
    for problem in names::port_number(i64::from(port)) {
        errors.invalid(path, port, problem);
    }
}

/// A path that stays below where it begins.
pub fn descending(target: &str, path: &Path<'_>, errors: &mut Errors) {
    if target.starts_with('/') {
        errors.invalid(path, target, "must be a relative path");
    }
    no_backsteps(target, path, errors);
}

/// As [`descending`], and not a name that is kept for the kubelet's own.
pub fn non_reserved(target: &str, path: &Path<'_>, errors: &mut Errors) {
    descending(target, path, errors);
    if target.starts_with("..") && !target.starts_with("../") {
        errors.invalid(path, target, "must not start with '..'");
    }
}

pub fn no_backsteps(target: &str, path: &Path<'_>, errors: &mut Errors) {
    if target.split('/').any(|part| part == "..") {
        errors.invalid(path, target, "must not contain '..'");
    }
}

pub fn ip(text: &str, path: &Path<'_>, errors: &mut Errors) -> Option<IpAddr> {
    let ip = text.parse().ok();
    if ip.is_none() {
        errors.invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
    ip
}

/// An address that another host can be reached by.
pub fn endpoint_ip(text: &str, path: &Path<'_>, errors: &mut Errors) {
    let Some(ip) = ip(text, path, errors) else { return };
    let (link_local, link_multicast) = match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    if ip.is_unspecified() {
        errors.invalid(path, text, format!("may not be unspecified ({text})"));
    }
    if ip.is_loopback() {
        errors.invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if link_local {
        errors.invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_multicast {
        errors.invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

pub fn cidr(text: &str, path: &Path<'_>, errors: &mut Errors) {
    if range(text).is_none() {
        errors.invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
}

/// The addresses that begin with some bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The bits of the address from the left; those past the prefix are zero.
    start: u128,
    prefix: u32,
    v4: bool,
}

impl Range {
    pub fn is_v4(&self) -> bool {
        self.v4
    }

    pub fn contains(&self, other: &Self) -> bool {
        self.v4 == other.v4 && self.prefix <= other.prefix && masked(other.start, self.prefix) == self.start
    }
}

fn masked(bits: u128, prefix: u32) -> u128 {
    bits & u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}

/// What a CIDR stands for, if it is one.
pub fn range(text: &str) -> Option<Range> {
    let (address, bits) = text.split_once('/')?;
    let (start, most, v4) = match address.parse().ok()? {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32, true),
        IpAddr::V6(v6) => (v6.to_bits(), 128, false),
    };
    let digits = bits.bytes().all(|b| b.is_ascii_digit()) && (bits.len() == 1 || !bits.starts_with('0'));
    let prefix = bits.parse::<u32>().ok().filter(|prefix| digits && *prefix <= most)?;
    Some(Range { start: masked(start, prefix), prefix, v4 })
}
