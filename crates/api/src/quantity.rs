//! Amounts of resources (`100m`, `1.5Gi`, `12e6`): reading, exact arithmetic and the canonical form.
//!
//! Does not own which resources there are, nor which amounts are allowed for them.
use std::{
    cmp::Ordering,
    fmt,
    ops::{Add, AddAssign, Neg, Sub, SubAssign},
    str::FromStr,
};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

const NANO: i128 = 1_000_000_000;
/// Amounts are capped here, as the API does.
const MAX: i128 = i64::MAX as i128 * NANO;

/// The notation that an amount was written in, and is printed in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// `100m`, `5`, `12M`
    #[default]
    DecimalSI,
    /// `64Ki`, `12Gi`
    BinarySI,
    /// `12e6`
    DecimalExponent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Number,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// A fixed-point amount, exact to a billionth. Finer digits are rounded away from zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

impl Quantity {
    pub const ZERO: Quantity = Quantity { nano: 0, format: Format::DecimalSI };

    pub fn new(value: i64, format: Format) -> Self {
        Self { nano: i128::from(value) * NANO, format }
    }

    pub fn from_milli(milli: i64, format: Format) -> Self {
        Self { nano: i128::from(milli) * (NANO / 1000), format }
    }

    /// Whole units, rounded up (away from zero).
    pub fn value(self) -> i64 {
        self.scaled(NANO)
    }

    /// Thousandths, rounded up (away from zero).
    pub fn milli_value(self) -> i64 {
        self.scaled(NANO / 1000)
    }

    pub fn nano_value(self) -> i128 {
        self.nano
    }

    pub fn format(self) -> Format {
        self.format
    }

    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    pub fn is_negative(self) -> bool {
        self.nano < 0
    }

    pub fn is_integer(self) -> bool {
        self.nano % NANO == 0
    }

    fn scaled(self, unit: i128) -> i64 {
        let rounded = div_away(self.nano, unit);
        rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    fn with(self, nano: i128, other: Quantity) -> Self {
        // An amount of zero has no notation worth keeping.
        let format = if self.nano == 0 { other.format } else { self.format };
        Self { nano: nano.clamp(-MAX, MAX), format }
    }
}

/// The form in which an amount is kept. A binary amount that is no multiple of 1024 loses its suffix and is a decimal one
/// from then on, so its form is that of the decimal one at once: what is kept is read and written again unchanged.
pub fn canonical(text: &str) -> Result<String, ParseError> {
    let amount: Quantity = text.parse()?;
    let form = amount.to_string();
    Ok(match form.parse::<Quantity>() {
        Ok(again) if again.format != amount.format => again.to_string(),
        _ => form,
    })
}

impl FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
            None => return Err(ParseError::Format),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        if number.is_empty() || !suffix_is_plausible(suffix) {
            return Err(ParseError::Format);
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(ParseError::Number);
        }
        let (scale, format) = parse_suffix(suffix)?;
        let nano = match scale {
            Scale::Ten(exponent) => decimal(whole, fraction, exponent),
            Scale::Two(bits) => binary(whole, fraction, bits),
        };
        let nano = nano.unwrap_or(MAX).min(MAX);
        Ok(Self { nano: if negative { -nano } else { nano }, format })
    }
}

/// The shape `[eEinumkKMGTP]*[-+]?[0-9]*`.
fn suffix_is_plausible(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    rest.bytes().all(|b| b.is_ascii_digit())
}

enum Scale {
    Ten(i32),
    Two(u32),
}

fn parse_suffix(suffix: &str) -> Result<(Scale, Format), ParseError> {
    let decimal = |exponent| Ok((Scale::Ten(exponent), Format::DecimalSI));
    let binary = |bits| Ok((Scale::Two(bits), Format::BinarySI));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or(ParseError::Suffix)?;
            let exponent = exponent.parse::<i32>().map_err(|_| ParseError::Suffix)?;
            Ok((Scale::Ten(exponent), Format::DecimalExponent))
        }
    }
}

/// `whole.fraction × 10^exponent` in billionths; `None` when past every bound.
fn decimal(whole: &str, fraction: &str, exponent: i32) -> Option<i128> {
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // How many of the digits stand before the point once the unit is a billionth.
    let kept = significant.len() as i64 - fraction.len() as i64 + i64::from(exponent) + 9;
    if kept > 38 {
        return None;
    }
    let kept = kept.max(0) as usize;
    let (head, tail) = significant.split_at(kept.min(significant.len()));
    let head: i128 = if head.is_empty() { 0 } else { head.parse().ok()? };
    let head = head.checked_mul(10i128.pow(kept.saturating_sub(significant.len()) as u32))?;
    Some(head + i128::from(tail.bytes().any(|b| b != b'0')))
}

/// `whole.fraction × 2^bits` in billionths; `None` when past every bound.
fn binary(whole: &str, fraction: &str, bits: u32) -> Option<i128> {
    // 2^60 × 10^20 is the most that fits; what lies behind the twentieth digit only rounds up.
    const DIGITS: usize = 20;
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let whole = whole.checked_mul(1 << bits)?.checked_mul(NANO)?;
    let (head, tail) = fraction.split_at(fraction.len().min(DIGITS));
    let scaled: i128 = if head.is_empty() { 0 } else { head.parse().ok()? };
    let part = (scaled * 10i128.pow((DIGITS - head.len()) as u32)) << bits;
    let per_nano = 10i128.pow(DIGITS as u32 - 9);
    let more = part % per_nano != 0 || tail.bytes().any(|b| b != b'0');
    whole.checked_add(part / per_nano + i128::from(more))
}

fn div_away(value: i128, by: i128) -> i128 {
    let quotient = value / by;
    if value % by == 0 { quotient } else { quotient + value.signum() }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Below 1024 a binary amount has no suffix, and may have a fraction.
        if self.format == Format::BinarySI && self.nano.abs() >= 1024 * NANO {
            let mut mantissa = div_away(self.nano, NANO);
            let mut power = 0;
            while mantissa % 1024 == 0 && power < 6 {
                mantissa /= 1024;
                power += 1;
            }
            return write!(f, "{mantissa}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power]);
        }
        let mut mantissa = self.nano;
        let mut power = 0;
        while mantissa != 0 && mantissa % 1000 == 0 && power < 9 {
            mantissa /= 1000;
            power += 1;
        }
        match (self.nano, self.format) {
            (0, _) => f.write_str("0"),
            (_, Format::DecimalExponent) if power == 3 => write!(f, "{mantissa}"),
            (_, Format::DecimalExponent) => write!(f, "{mantissa}e{}", power as i32 * 3 - 9),
            _ => write!(f, "{mantissa}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][power]),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl Add for Quantity {
    type Output = Quantity;

    fn add(self, other: Quantity) -> Quantity {
        self.with(self.nano + other.nano, other)
    }
}

impl Sub for Quantity {
    type Output = Quantity;

    fn sub(self, other: Quantity) -> Quantity {
        self.with(self.nano - other.nano, other)
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Quantity) {
        *self = *self + other;
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Quantity) {
        *self = *self - other;
    }
}

impl Neg for Quantity {
    type Output = Quantity;

    fn neg(self) -> Quantity {
        Quantity { nano: -self.nano, ..self }
    }
}

impl TryFrom<&ApiQuantity> for Quantity {
    type Error = ParseError;

    fn try_from(quantity: &ApiQuantity) -> Result<Self, ParseError> {
        quantity.0.parse()
    }
}

impl From<Quantity> for ApiQuantity {
    fn from(quantity: Quantity) -> Self {
        ApiQuantity(quantity.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn canonical_form() {
        for (text, canonical) in [
            ("0", "0"),
            ("0Gi", "0"),
            ("0e3", "0"),
            ("100m", "100m"),
            ("0.1", "100m"),
            (".5", "500m"),
            ("1.", "1"),
            ("+1.50", "1500m"),
            ("-1.5", "-1500m"),
            ("1000m", "1"),
            ("1000", "1k"),
            ("1500000", "1500k"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("0.001Ki", "1024m"),
            ("1025", "1025"),
            ("12e6", "12e6"),
            ("12e5", "1200e3"),
            ("5E3", "5e3"),
            ("1e0", "1"),
            ("1e-3", "1e-3"),
            ("1E", "1E"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("-0.1n", "-1n"),
            ("1.0000000001", "1000000001n"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "9223372036854775807"),
            ("1e99", "9223372036854775807"),
            ("0000000000000000000000000000000000000000000000001", "1"),
            ("1000000000000000000000n", "1T"),
        ] {
            assert_eq!(parse(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_kept_stays_as_it_is() {
        for (text, kept) in [
            ("1.5Gi", "1536Mi"),
            ("0.5", "500m"),
            ("0.5Gi", "512Mi"),
            ("0.1", "100m"),
            ("1000.0", "1k"),
            ("1e3", "1e3"),
            ("0.0080999000000000000000000000001Ei", "9338548895165k"),
        ] {
            assert_eq!(canonical(text).unwrap(), kept, "{text}");
            assert_eq!(canonical(kept).unwrap(), kept, "{text}");
        }
    }

    #[test]
    fn malformed() {
        for (text, error) in [
            ("", ParseError::Format),
            ("abc", ParseError::Format),
            ("1 Gi", ParseError::Format),
            ("1Gi ", ParseError::Format),
            ("-", ParseError::Format),
            ("1.2.3", ParseError::Number),
            (".", ParseError::Number),
            ("1ki", ParseError::Suffix),
            ("1KiB", ParseError::Format),
            ("1mm", ParseError::Suffix),
            ("1e", ParseError::Suffix),
            ("1e1.5", ParseError::Format),
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn rounding_and_order() {
        assert_eq!(parse("1001m").value(), 2);
        assert_eq!(parse("-1001m").value(), -2);
        assert_eq!(parse("0.1m").milli_value(), 1);
        assert_eq!(parse("1.5Gi").value(), 1536 << 20);
        assert_eq!(parse("1Ki"), parse("1024"));
        assert!(parse("1G") < parse("1Gi"));
        assert!(parse("999m") < parse("1"));
    }

    #[test]
    fn arithmetic_keeps_the_notation_of_the_left_side() {
        assert_eq!((parse("1Gi") + parse("1024")).to_string(), "1048577Ki");
        assert_eq!((Quantity::ZERO + parse("1Gi")).to_string(), "1Gi");
        assert_eq!((parse("1") - parse("100m")).to_string(), "900m");
        assert_eq!((parse("9E") + parse("9E")).value(), i64::MAX);
    }
}
