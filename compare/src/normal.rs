//! What differs between any two servers, taken out of their answers: identifiers, times, versions, random names, addresses of services.

use serde_json::Value;

/// `own`: where the server listens.
pub fn normal(value: &mut Value, own: &str) {
    walk("", value, own);
}

fn walk(key: &str, value: &mut Value, own: &str) {
    match value {
        Value::String(text) => {
            if let Some(instead) = placeholder(key, text) {
                *text = instead.to_owned();
            } else {
                *text = plain(text, own);
            }
        }
        Value::Number(number) if (key == "nodePort" || key == "healthCheckNodePort") && is_node_port(number) => {
            *value = "(node port)".into();
        }
        Value::Array(list) => list.iter_mut().for_each(|value| walk(key, value, own)),
        Value::Object(fields) => {
            generated(fields);
            fields.iter_mut().for_each(|(key, value)| walk(key, value, own));
        }
        _ => {}
    }
}

fn is_node_port(number: &serde_json::Number) -> bool {
    number.as_u64().is_some_and(|number| (30000..32768).contains(&number))
}

/// Of a name that a server has made up only the beginning is told.
fn generated(fields: &mut serde_json::Map<String, Value>) {
    let Some(start) = fields.get("generateName").and_then(Value::as_str).map(str::to_owned) else { return };
    if let Some(Value::String(name)) = fields.get_mut("name")
        && let Some(rest) = name.strip_prefix(&start)
    {
        *name = format!("{start}({} random)", rest.len());
    }
}

fn placeholder(key: &str, text: &str) -> Option<&'static str> {
    let number = || !text.is_empty() && text != "0" && text.bytes().all(|byte| byte.is_ascii_digit());
    match key {
        "resourceVersion" if number() => Some("(version)"),
        "continue" if !text.is_empty() => Some("(continue)"),
        "token" if text.len() > 100 => Some("(token)"),
        _ => None,
    }
}

/// A text with what is in it replaced, word by word.
pub fn plain(text: &str, own: &str) -> String {
    let text = &text.replace(own, "(server)");
    let mut result = String::with_capacity(text.len());
    let mut word = String::new();
    let in_word = |c: char| c.is_ascii_alphanumeric() || "-:.+".contains(c);
    for c in text.chars() {
        if in_word(c) {
            word.push(c);
            continue;
        }
        result.push_str(&of_word(&word));
        word.clear();
        result.push(c);
    }
    result.push_str(&of_word(&word));
    result
}

fn of_word(word: &str) -> String {
    let shape: String = word.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c }).collect();
    let digits: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape == "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" {
        return "(uid)".into();
    }
    if digits == "0000-00-00T00:00:00Z" {
        return "(time)".into();
    }
    if digits == "0000-00-00T00:00:00.000000Z" {
        return "(micro time)".into();
    }
    if let Some(rest) = word.strip_prefix("10.99.")
        && rest.split('.').count() == 2
        && rest.split('.').all(|part| part.parse::<u8>().is_ok())
    {
        return "(service address)".into();
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_anybodys_own_goes() {
        let mut value = json!({"metadata": {"generateName": "a-", "name": "a-x7f2k", "resourceVersion": "71",
            "uid": "2b1c6f0e-6d1c-4a0e-8f5e-0a1b2c3d4e5f", "creationTimestamp": "2026-01-02T03:04:05Z"},
            "message": "until 2026-01-02T03:04:05Z at 10.99.3.4, 10.1.2.3", "nodePort": 30001});
        normal(&mut value, "127.0.0.1:6443");
        let expected = json!({"metadata": {"generateName": "a-", "name": "a-(5 random)", "resourceVersion": "(version)",
            "uid": "(uid)", "creationTimestamp": "(time)"},
            "message": "until (time) at (service address), 10.1.2.3", "nodePort": "(node port)"});
        assert_eq!(value, expected);
    }
}
