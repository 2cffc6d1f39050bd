//! What must be left of the node's resources before it is under pressure: the flag `--eviction-hard`, in upstream's words.

use std::str::FromStr;

use api::quantity::Quantity;

/// Upstream's, without those of a file system of images of its own.
pub const DEFAULT: &str = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%";

/// A signal that is not named has no threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    pub memory: Option<Amount>,
    pub disk: Option<Amount>,
    pub inodes: Option<Amount>,
    pub pids: Option<Amount>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// A part of all there is, from 0 to 1.
    Part(f64),
    Count(u64),
}

impl Amount {
    /// How much that is of `all`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a part of it"
    )]
    pub fn of(self, all: u64) -> u64 {
        match self {
            Self::Part(part) => (all as f64 * part) as u64,
            Self::Count(count) => count,
        }
    }
}

impl FromStr for Amount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(percent) = text.strip_suffix('%') {
            let part = percent.parse::<f64>().map_err(|_| "is no percentage")? / 100.0;
            return if (0.0..=1.0).contains(&part) { Ok(Self::Part(part)) } else { Err("is not between 0% and 100%") };
        }
        let quantity: Quantity = text.parse().map_err(|_| "is no quantity such as 100Mi, and no percentage")?;
        u64::try_from(quantity.value()).map(Self::Count).map_err(|_| "is below zero")
    }
}

impl FromStr for Thresholds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for threshold in text.split(',').map(str::trim).filter(|threshold| !threshold.is_empty()) {
            let (signal, value) =
                threshold.split_once('<').ok_or_else(|| format!("{threshold} is not signal<value, as {DEFAULT}"))?;
            let place = match signal {
                "memory.available" => &mut all.memory,
                "nodefs.available" => &mut all.disk,
                "nodefs.inodesFree" => &mut all.inodes,
                "pid.available" => &mut all.pids,
                _ => {
                    let known = "memory.available, nodefs.available, nodefs.inodesFree, pid.available";
                    return Err(format!("{signal} is not watched here; what is: {known}"));
                }
            };
            let amount = value.parse().map_err(|why| format!("{value} of {signal} {why}"))?;
            if place.replace(amount).is_some() {
                return Err(format!("{signal} is there twice"));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        let all: Thresholds = DEFAULT.parse().unwrap();
        assert_eq!(all.memory, Some(Amount::Count(100 << 20)));
        assert_eq!(all.disk.map(|disk| disk.of(1000)), Some(100));
        assert_eq!((all.inodes, all.pids), (Some(Amount::Part(0.05)), None));
        assert_eq!("".parse(), Ok(Thresholds::default()));
        for (wrong, why) in [
            ("memory.available", "is not signal<value"),
            ("memory.available>1Gi", "is not signal<value"),
            ("imagefs.available<15%", "imagefs.available is not watched here"),
            ("nodefs.available<101%", "is not between 0% and 100%"),
            ("nodefs.available<NaN%", "is not between 0% and 100%"),
            ("memory.available<-1Mi", "is below zero"),
            ("memory.available<lots", "is no quantity"),
            ("pid.available<5,pid.available<5", "is there twice"),
        ] {
            let error = wrong.parse::<Thresholds>().unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
