//! What a scalar of YAML means: the rules of YAML 1.1 as Go's reader (and so every Kubernetes client) has them.
//!
//! Numbers of base 60 stay texts, as there; times stay texts, since JSON has none.

use base64::Engine;
use serde_json::{Number, Value};

/// Why a scalar is nothing that JSON can hold.
#[derive(Debug, PartialEq)]
pub(super) enum Unresolvable {
    /// `.inf` and `.nan`
    NotJson,
    /// The tag says one type and the text is another.
    Tag(&'static str),
    Binary,
}

/// A scalar's type by its tag, where it has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tag {
    None,
    Str,
    Bool,
    Int,
    Float,
    Null,
    Timestamp,
    Binary,
    Merge,
    /// A tag that means nothing here: the scalar is a text.
    Other,
}

impl Tag {
    /// By the name behind `tag:yaml.org,2002:`.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "str" => Self::Str,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "float" => Self::Float,
            "null" => Self::Null,
            "timestamp" => Self::Timestamp,
            "binary" => Self::Binary,
            "merge" => Self::Merge,
            _ => Self::Other,
        }
    }
}

pub(super) fn resolve(text: &str, plain: bool, tag: Tag) -> Result<Value, Unresolvable> {
    let wrong = |is: bool, value: Value, name| if is { Ok(value) } else { Err(Unresolvable::Tag(name)) };
    match tag {
        Tag::None if plain => plain_scalar(text),
        Tag::None | Tag::Str | Tag::Other | Tag::Timestamp | Tag::Merge => Ok(text.into()),
        Tag::Binary => {
            let packed: String = text.split_ascii_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(packed).map_err(|_| Unresolvable::Binary)?;
            String::from_utf8(bytes).map(Value::String).map_err(|_| Unresolvable::Binary)
        }
        Tag::Bool => plain_scalar(text).and_then(|value| wrong(value.is_boolean(), value, "bool")),
        Tag::Null => plain_scalar(text).and_then(|value| wrong(value.is_null(), value, "null")),
        Tag::Int => plain_scalar(text).and_then(|value| wrong(is_integer(&value), value, "int")),
        Tag::Float => plain_scalar(text).and_then(|value| wrong(value.is_number(), value, "float")),
    }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}

fn plain_scalar(text: &str) -> Result<Value, Unresolvable> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        ".nan" | ".NaN" | ".NAN" => return Err(Unresolvable::NotJson),
        _ => {}
    }
    if matches!(text.strip_prefix(['+', '-']).unwrap_or(text), ".inf" | ".Inf" | ".INF") {
        return Err(Unresolvable::NotJson);
    }
    // Long texts are no numbers, and need no copy.
    if text.len() > 512 || !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Ok(text.into());
    }
    let digits = text.replace('_', "");
    Ok(integer(&digits).or_else(|| float(&digits)).map_or_else(|| text.into(), Value::Number))
}

/// `12`, `-12`, `0x1F`, `0b11`, `0o17` and, with a leading zero, octal too.
fn integer(digits: &str) -> Option<Number> {
    let (negative, body) = match digits.as_bytes().first()? {
        b'-' => (true, &digits[1..]),
        b'+' => (false, &digits[1..]),
        _ => (false, digits),
    };
    let lower = body.get(..2).unwrap_or("").to_ascii_lowercase();
    let (radix, body) = match lower.as_str() {
        "0x" => (16, &body[2..]),
        "0o" => (8, &body[2..]),
        "0b" => (2, &body[2..]),
        _ if body.len() > 1 && body.starts_with('0') => (8, &body[1..]),
        _ => (10, body),
    };
    if !body.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let amount = u64::from_str_radix(body, radix).ok()?;
    if negative {
        let amount = 0i64.checked_sub_unsigned(amount)?;
        return Some(amount.into());
    }
    Some(amount.into())
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`. Whole ones are written as Go writes them, without a fraction.
fn float(digits: &str) -> Option<Number> {
    let body = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (body, None),
    };
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !all_digits(whole) || !all_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if exponent.is_some_and(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        e.is_empty() || !all_digits(e)
    }) {
        return None;
    }
    let value: f64 = digits.strip_prefix('+').unwrap_or(digits).parse().ok()?;
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Some((value as i64).into());
    }
    // An exponent that is too large makes it a text, as in Go.
    Number::from_f64(value)
}

/// Whether a plain scalar of this text would be anything but this text, to a reader of YAML 1.1 or 1.2.
pub(super) fn reads_as_other(text: &str) -> bool {
    const WORDS: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "<<"];
    if text.is_empty() || WORDS.contains(&text.to_lowercase().as_str()) {
        return true;
    }
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(body.to_lowercase().as_str(), ".inf" | ".nan") {
        return true;
    }
    !matches!(plain_scalar(text), Ok(Value::String(_))) || is_time(text) || is_sexagesimal(body)
}

/// Go's reader takes shorter forms for times as well, such as `2001-1-2`.
fn is_time(text: &str) -> bool {
    let day = text.split(['T', 't', ' ']).next().unwrap_or("");
    let parts: Vec<&str> = day.split('-').collect();
    let digits = |part: &&str, longest| part.len() <= longest && part.bytes().all(|b| b.is_ascii_digit());
    matches!(parts.as_slice(), [year, month, day]
        if year.len() == 4 && digits(year, 4) && !month.is_empty() && digits(month, 2) && !day.is_empty() && digits(day, 2))
}

/// `1:30` is ninety in YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    text.contains(':') && text.bytes().all(|b| b.is_ascii_digit() || b":._".contains(&b)) && !text.ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_as_go_reads_them() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("yes", json!(true)),
            ("On", json!(true)),
            ("y", json!(true)),
            ("N", json!(false)),
            ("off", json!(false)),
            ("yEs", json!("yEs")),
            ("0400", json!(256)),
            ("0o400", json!(256)),
            ("-010", json!(-8)),
            ("00", json!(0)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("-0b101", json!(-5)),
            ("1_000", json!(1000)),
            ("+7", json!(7)),
            ("08", json!(8)),
            ("1:30", json!("1:30")),
            ("1e3", json!(1000)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1.", json!(1)),
            ("1e", json!("1e")),
            ("1e999", json!("1e999")),
            ("18446744073709551615", json!(18446744073709551615u64)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("99999999999999999999", json!(1e20)),
            ("10.0.0.1", json!("10.0.0.1")),
            ("1Gi", json!("1Gi")),
            ("0x", json!("0x")),
            ("0x_", json!("0x_")),
            ("--1", json!("--1")),
            ("+-1", json!("+-1")),
            ("+", json!("+")),
            (".", json!(".")),
            ("-", json!("-")),
            ("2026-11-20", json!("2026-11-20")),
            ("2026-11-20T17:10:44Z", json!("2026-11-20T17:10:44Z")),
        ] {
            assert_eq!(plain_scalar(text), Ok(value), "{text}");
        }
        for text in [".inf", "-.Inf", "+.INF", ".nan"] {
            assert_eq!(plain_scalar(text), Err(Unresolvable::NotJson), "{text}");
        }
    }

    #[test]
    fn tags_decide_and_quoted_scalars_are_texts() {
        for (text, plain, tag, value) in [
            ("yes", false, Tag::None, Ok(json!("yes"))),
            ("12", true, Tag::Str, Ok(json!("12"))),
            ("12", false, Tag::Int, Ok(json!(12))),
            ("a", true, Tag::Int, Err(Unresolvable::Tag("int"))),
            ("1.5", true, Tag::Int, Err(Unresolvable::Tag("int"))),
            ("3", true, Tag::Float, Ok(json!(3))),
            ("yes", true, Tag::Bool, Ok(json!(true))),
            ("x", true, Tag::Null, Err(Unresolvable::Tag("null"))),
            ("aGVs\n bG8=", false, Tag::Binary, Ok(json!("hello"))),
            ("/w==", true, Tag::Binary, Err(Unresolvable::Binary)),
            ("12", true, Tag::Other, Ok(json!("12"))),
        ] {
            assert_eq!(resolve(text, plain, tag), value, "{text} {tag:?}");
        }
    }
}
