//! Ranges of addresses, cut out of a larger one. Pure.
use std::{collections::BTreeSet, net::IpAddr, str::FromStr};

/// More ranges than this in one would be a mistake in the flags.
const MAX_RANGES: u8 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// Of an IPv4 range the lowest 32 bits.
    base: u128,
    prefix: u8,
    v6: bool,
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no range of addresses such as 10.244.0.0/16");
        let (address, prefix) = text.trim().split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        let (base, v6) = match address {
            IpAddr::V4(address) => (u32::from(address).into(), false),
            IpAddr::V6(address) => (u128::from(address), true),
        };
        let bits = if v6 { 128 } else { 32 };
        if prefix > bits {
            return Err(wrong());
        }
        let host = 1u128.checked_shl(u32::from(bits - prefix)).map_or(u128::MAX, |size| size - 1);
        Ok(Self { base: base & !host, prefix, v6 })
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address: IpAddr =
            if self.v6 { IpAddr::V6(self.base.into()) } else { IpAddr::V4((self.base as u32).into()) };
        write!(f, "{address}/{}", self.prefix)
    }
}

impl Cidr {
    fn bits(self) -> u8 {
        if self.v6 { 128 } else { 32 }
    }

    pub fn is_v6(self) -> bool {
        self.v6
    }
}

/// The ranges of one size in a large range, and which are taken.
#[derive(Debug)]
pub struct CidrSet {
    whole: Cidr,
    size: u8,
    taken: BTreeSet<u128>,
    /// Where the search goes on: a range that was given back is not given out again at once.
    next: u128,
}

impl CidrSet {
    pub fn new(whole: Cidr, size: u8) -> Result<Self, String> {
        if size < whole.prefix || size > whole.bits() {
            return Err(format!("a range of prefix length {size} does not fit into {whole}"));
        }
        if size - whole.prefix > MAX_RANGES {
            return Err(format!("{whole} has more than 2^{MAX_RANGES} ranges of prefix length {size}"));
        }
        Ok(Self { whole, size, taken: BTreeSet::new(), next: 0 })
    }

    fn count(&self) -> u128 {
        1 << (self.size - self.whole.prefix)
    }

    fn width(&self) -> u32 {
        u32::from(self.whole.bits() - self.size)
    }

    /// The indexes that a range covers; `None` when it is not of this set.
    fn indexes(&self, range: Cidr) -> Option<std::ops::RangeInclusive<u128>> {
        let inside = range.v6 == self.whole.v6 && range.prefix >= self.whole.prefix;
        let first = range.base.checked_sub(self.whole.base).filter(|_| inside)?.checked_shr(self.width()).unwrap_or(0);
        let more = if range.prefix < self.size { (1u128 << (self.size - range.prefix)) - 1 } else { 0 };
        (first + more < self.count()).then_some(first..=first + more)
    }

    /// The range is somebody's.
    pub fn take(&mut self, range: Cidr) {
        self.taken.extend(self.indexes(range).into_iter().flatten());
    }

    /// The range is nobody's any more.
    pub fn give_back(&mut self, range: Cidr) {
        for index in self.indexes(range).into_iter().flatten() {
            self.taken.remove(&index);
        }
    }

    /// A range that nobody has; `None` when all are taken.
    pub fn allocate(&mut self) -> Option<Cidr> {
        let count = self.count();
        let index = (0..count).map(|step| (self.next + step) % count).find(|index| !self.taken.contains(index))?;
        self.taken.insert(index);
        self.next = (index + 1) % count;
        let base = self.whole.base + index.checked_shl(self.width()).unwrap_or(0);
        Some(Cidr { base, prefix: self.size, v6: self.whole.v6 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(whole: &str, size: u8) -> CidrSet {
        CidrSet::new(whole.parse().unwrap(), size).unwrap()
    }

    fn next(set: &mut CidrSet) -> Option<String> {
        set.allocate().map(|range| range.to_string())
    }

    #[test]
    fn ranges_are_given_out_once() {
        let mut ranges = set("10.244.0.0/22", 24);
        ranges.take("10.244.1.0/24".parse().unwrap());
        assert_eq!(next(&mut ranges).as_deref(), Some("10.244.0.0/24"));
        assert_eq!(next(&mut ranges).as_deref(), Some("10.244.2.0/24"));
        assert_eq!(next(&mut ranges).as_deref(), Some("10.244.3.0/24"));
        assert_eq!(next(&mut ranges), None);
        ranges.give_back("10.244.1.0/24".parse().unwrap());
        assert_eq!(next(&mut ranges).as_deref(), Some("10.244.1.0/24"));
    }

    #[test]
    fn ranges_of_other_sizes_and_places() {
        let mut ranges = set("10.244.0.0/22", 24);
        ranges.take("192.168.0.0/24".parse().unwrap());
        ranges.take("10.244.0.0/23".parse().unwrap());
        ranges.take("10.244.2.128/25".parse().unwrap());
        assert_eq!(next(&mut ranges).as_deref(), Some("10.244.3.0/24"));
        assert_eq!(next(&mut ranges), None);
        assert_eq!(next(&mut set("fd00:10:244::/56", 64)).as_deref(), Some("fd00:10:244::/64"));
        assert_eq!(next(&mut set("10.0.0.0/32", 32)).as_deref(), Some("10.0.0.0/32"));
    }

    #[test]
    fn mistakes() {
        assert!("10.0.0.0".parse::<Cidr>().is_err());
        assert!("10.0.0.0/33".parse::<Cidr>().is_err());
        let whole = "10.0.0.0/16".parse().unwrap();
        assert_eq!(CidrSet::new(whole, 8).unwrap_err(), "a range of prefix length 8 does not fit into 10.0.0.0/16");
        assert!(CidrSet::new("fd00::/8".parse().unwrap(), 64).is_err());
    }
}
