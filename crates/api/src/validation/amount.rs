//! Amounts that are a number or a percentage, as rollouts and budgets have them.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::checks::NOT_NEGATIVE;
use crate::field::{Errors, Path};

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
                       '93%', regex used for validation is '[0-9]+%')";

/// The number before the `%`.
fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%').filter(|digits| !digits.is_empty())?;
    let all = digits.bytes().all(|b| b.is_ascii_digit());
    all.then(|| digits.parse().unwrap_or(i64::MAX))
}

pub fn shown(amount: &IntOrString) -> Value {
    match amount {
        IntOrString::Int(number) => (*number).into(),
        IntOrString::String(text) => text.as_str().into(),
    }
}

/// Whether it is zero, as a number or in percent; absent and malformed ones are.
pub fn is_zero(amount: Option<&IntOrString>) -> bool {
    match amount {
        Some(IntOrString::Int(number)) => *number == 0,
        Some(IntOrString::String(text)) => percent(text).unwrap_or(0) == 0,
        None => true,
    }
}

pub fn positive(amount: Option<&IntOrString>, path: &Path<'_>, errors: &mut Errors) {
    match amount {
        Some(IntOrString::Int(number)) if *number < 0 => errors.invalid(path, *number, NOT_NEGATIVE),
        Some(IntOrString::String(text)) if percent(text).is_none() => errors.invalid(path, text.as_str(), PERCENT),
        _ => {}
    }
}

pub fn at_most_all(amount: Option<&IntOrString>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(IntOrString::String(text)) = amount
        && percent(text).is_some_and(|percent| percent > 100)
    {
        errors.invalid(path, text.as_str(), "must not be greater than 100%");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let text = |text: &str| IntOrString::String(text.to_owned());
        for (amount, zero, told) in [
            (IntOrString::Int(0), true, ""),
            (IntOrString::Int(-1), false, NOT_NEGATIVE),
            (text("0%"), true, ""),
            (text("100%"), false, ""),
            (text("101%"), false, "must not be greater than 100%"),
            (text("99999999999999999999%"), false, "must not be greater than 100%"),
            (text("10"), true, PERCENT),
            (text("%"), true, PERCENT),
            (text("-1%"), true, PERCENT),
        ] {
            let mut errors = Errors::default();
            positive(Some(&amount), &Path::new("x"), &mut errors);
            at_most_all(Some(&amount), &Path::new("x"), &mut errors);
            assert_eq!(errors.0.first().map_or("", |error| &error.detail), told, "{amount:?}");
            assert_eq!(is_zero(Some(&amount)), zero, "{amount:?}");
        }
    }
}
