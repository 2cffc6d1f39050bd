//! The form of a cron schedule, as the cron library of upstream reads it.

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Field {
    low: u64,
    high: u64,
    /// What stands for `low`, `low + 1` and so on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { low: 0, high: 59, names: &[] },
    Field { low: 0, high: 23, names: &[] },
    Field { low: 1, high: 31, names: &[] },
    Field { low: 1, high: 12, names: &MONTHS },
    Field { low: 0, high: 6, names: &DAYS },
];

const DESCRIPTORS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// What is wrong with a schedule, if anything is.
pub fn problem(schedule: &str) -> Option<String> {
    parse(schedule).err()
}

fn parse(schedule: &str) -> Result<(), String> {
    if schedule.is_empty() {
        return Err("empty spec string".into());
    }
    let schedule = match schedule.strip_prefix("TZ=").or_else(|| schedule.strip_prefix("CRON_TZ=")) {
        Some(rest) => rest.split_once(' ').map_or("", |(_, rest)| rest.trim()),
        None => schedule,
    };
    if schedule.starts_with('@') {
        return descriptor(schedule);
    }
    let parts: Vec<&str> = schedule.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
    }
    for (part, field) in parts.iter().zip(&FIELDS) {
        part.split(',')
            .filter(|expression| !expression.is_empty())
            .try_for_each(|expression| range(expression, field))?;
    }
    Ok(())
}

fn descriptor(text: &str) -> Result<(), String> {
    if DESCRIPTORS.contains(&text) {
        return Ok(());
    }
    let Some(every) = text.strip_prefix("@every ") else { return Err(format!("unrecognized descriptor: {text}")) };
    let (mut rest, mut any) = (every.trim_start_matches(['-', '+']), false);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit = rest[number..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |at| number + at);
        let known = ["ns", "us", "µs", "ms", "s", "m", "h"].contains(&&rest[number..unit]);
        if rest[..number].parse::<f64>().is_err() || !known {
            any = false;
            break;
        }
        (rest, any) = (&rest[unit..], true);
    }
    if any { Ok(()) } else { Err(format!("failed to parse duration {text}: time: invalid duration {every:?}")) }
}

/// `*`, `a`, `a-b`, each with `/step`.
fn range(expression: &str, field: &Field) -> Result<(), String> {
    let mut halves = expression.split('/');
    let (span, step, more) = (halves.next().unwrap_or(""), halves.next(), halves.next());
    let mut ends = span.split('-');
    let (from, to, beyond) = (ends.next().unwrap_or(""), ends.next(), ends.next());
    let (start, end) = if matches!(from, "*" | "?") {
        (field.low, field.high)
    } else {
        let start = value(from, field)?;
        match (to, beyond) {
            (None, _) if step.is_some() => (start, field.high),
            (None, _) => (start, start),
            (Some(to), None) => (start, value(to, field)?),
            (Some(_), Some(_)) => return Err(format!("too many hyphens: {expression}")),
        }
    };
    if more.is_some() {
        return Err(format!("too many slashes: {expression}"));
    }
    let step = step.map_or(Ok(1), number)?;
    if start < field.low {
        return Err(format!("beginning of range ({start}) below minimum ({}): {expression}", field.low));
    }
    if end > field.high {
        return Err(format!("end of range ({end}) above maximum ({}): {expression}", field.high));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {expression}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {expression}"));
    }
    Ok(())
}

fn value(text: &str, field: &Field) -> Result<u64, String> {
    let named = field.names.iter().position(|name| text.eq_ignore_ascii_case(name));
    named.map_or_else(|| number(text), |at| Ok(field.low + at as u64))
}

fn number(text: &str) -> Result<u64, String> {
    match text.parse::<i64>() {
        Ok(number) => u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}")),
        Err(_) => Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for good in ["* * * * *", "*/5 0-23/2 1,15 jan-Mar SUN", "@hourly", "@every 1h30m", "0 0 ? * 6", "5/10 * * * *"]
        {
            assert_eq!(problem(good), None, "{good}");
        }
        for (bad, why) in [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("@never", "unrecognized descriptor: @never"),
            ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
        ] {
            assert_eq!(problem(bad).as_deref(), Some(why), "{bad}");
        }
    }
}
