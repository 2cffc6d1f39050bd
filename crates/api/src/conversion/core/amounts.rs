//! Amounts of resources in v1beta1: cores as a text with a decimal point, all else as whole numbers.

use serde_json::{Map, Value};

use crate::quantity::{Quantity, canonical};

/// All amounts of a list, in the form in which they are stored.
pub(super) fn to_stored(list: Option<&mut Value>) {
    for (name, amount) in list.and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some(stored) = stored(name, amount) {
            *amount = stored.into();
        }
    }
}

/// All amounts of a list as v1beta1 writes them. Those that would not come back as they are stay as they are.
pub(super) fn from_stored(list: Option<&mut Value>) {
    for (name, amount) in list.and_then(Value::as_object_mut).into_iter().flatten() {
        let Some(quantity) = amount.as_str().and_then(|text| text.parse::<Quantity>().ok()) else { continue };
        let shown = match name.as_str() {
            "cpu" => Value::String(cores(quantity.milli_value())),
            _ => whole(quantity.value()),
        };
        if stored(name, &shown).is_some_and(|back| amount.as_str() == Some(back.as_str())) {
            *amount = shown;
        }
    }
}

/// Numbers of 32 bits are numbers; larger ones are texts, as the schema's type is an integer or a string.
fn whole(value: i64) -> Value {
    if i32::try_from(value).is_ok() { value.into() } else { value.to_string().into() }
}

/// A number of bytes is written by its largest unit of 1024, a text that is no number as it is.
fn stored(name: &str, amount: &Value) -> Option<String> {
    let text = match amount {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    match text.parse::<i64>() {
        Ok(bytes) if name != "cpu" => Some(binary(bytes)),
        _ => canonical(&text).ok(),
    }
}

/// The canonical form of a number of bytes.
pub(super) fn binary(bytes: i64) -> String {
    let (mut value, mut unit) = (bytes, "");
    for next in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
        if value == 0 || value % 1024 != 0 {
            break;
        }
        (value, unit) = (value / 1024, next);
    }
    format!("{value}{unit}")
}

/// Thousandths of a core as a number of cores: `0.5`, `2`.
fn cores(milli: i64) -> String {
    let text = format!("{}.{:03}", milli / 1000, (milli % 1000).abs());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Fields of a container that say its limits in another way, `cpu` in thousandths of a core and `memory` in bytes.
pub(super) fn limits_of(container: &Map<String, Value>) -> (Option<i64>, Option<i64>) {
    let limit = |name: &str| -> Option<Quantity> {
        container.get("resources")?.get("limits")?.get(name)?.as_str()?.parse().ok()
    };
    (limit("cpu").map(|cpu| cpu.milli_value()), limit("memory").map(|memory| memory.value()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_come_back() {
        let mut list =
            json!({"cpu": "500m", "memory": "512Mi", "a": "500M", "b": "3", "c": "8Gi", "d": "1500m", "e": "0"});
        let was = list.clone();
        from_stored(Some(&mut list));
        assert_eq!(
            list,
            json!({"cpu": "0.5", "memory": 536870912, "a": "500M", "b": 3, "c": "8589934592", "d": "1500m", "e": 0})
        );
        to_stored(Some(&mut list));
        assert_eq!(list, was);
        let mut list = json!({"cpu": 1024, "memory": "1048576"});
        to_stored(Some(&mut list));
        assert_eq!(list, json!({"cpu": "1024", "memory": "1Mi"}));
    }
}
