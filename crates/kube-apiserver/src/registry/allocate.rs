//! Service addresses and node ports: choosing free ones. That each is held once is guaranteed by the claim keys in
//! the object's own transaction; here is only the choice.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use api::field::{Errors, Path};
use api::meta;
use api::status::Status;
use api::strategy::{Claim, Want};
use rand::Rng;
use serde_json::{Value, json};

use super::{Registry, Target};
use storage::Filter;

/// Choices that may turn out to be taken before the request is given up.
const TRIES: usize = 16;
/// Of these, the ones that do not look first.
const GUESSES: usize = 3;

/// An IPv4 range such as `10.254.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceRange {
    network: u32,
    bits: u32,
}

impl FromStr for ServiceRange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an IPv4 range such as 10.254.0.0/16");
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let bits: u32 = bits.parse().map_err(|_| wrong())?;
        if !(8..=29).contains(&bits) {
            return Err(format!("{text:?}: the prefix must have between 8 and 29 bits"));
        }
        Ok(Self { network: address.to_bits() & (u32::MAX << (32 - bits)), bits })
    }
}

impl std::fmt::Display for ServiceRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.network), self.bits)
    }
}

impl ServiceRange {
    fn size(&self) -> u32 {
        1 << (32 - self.bits)
    }
    fn address(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network + offset)
    }
    /// The address of the `kubernetes` service.
    pub fn first(&self) -> Ipv4Addr {
        self.address(1)
    }
    fn contains(&self, ip: Ipv4Addr) -> bool {
        let offset = ip.to_bits().wrapping_sub(self.network);
        (1..self.size() - 1).contains(&offset)
    }
}

pub struct Ranges {
    pub services: ServiceRange,
    pub node_ports: RangeInclusive<i32>,
}

impl Registry {
    /// Fills in what the object's strategy wants. Returns what was chosen here, as opposed to asked for by the client.
    ///
    /// The first attempts just guess, as ranges are mostly free; only then is it worth reading what is taken.
    pub(super) fn allocate(&self, target: &Target, object: &mut Value, attempt: usize) -> Result<Vec<Claim>, Status> {
        let wants = target.resource().strategy.wants(object);
        if wants.is_empty() {
            return Ok(Vec::new());
        }
        let taken = if attempt <= GUESSES { HashSet::new() } else { self.taken(target) };
        let mut chosen = Vec::new();
        for want in wants {
            match want {
                Want::ServiceIp => {
                    let ip = self.free_ip(&taken)?;
                    object["spec"]["clusterIP"] = ip.as_str().into();
                    object["spec"]["clusterIPs"] = json!([ip]);
                    chosen.push(Claim::ServiceIp(ip));
                }
                Want::NodePort(at) => {
                    let claimed = |port: i32| chosen.contains(&Claim::NodePort(port));
                    let port = self.free_port(&taken, claimed)?;
                    object["spec"]["ports"][at]["nodePort"] = port.into();
                    chosen.push(Claim::NodePort(port));
                }
            }
        }
        Ok(chosen)
    }

    fn taken(&self, target: &Target) -> HashSet<Claim> {
        let strategy = target.resource().strategy;
        let services = target.store.list(&Filter::default());
        let claims =
            services.entries.iter().filter_map(|e| super::parse(&e.bytes).ok()).flat_map(|o| strategy.claims(&o));
        claims.collect()
    }

    fn free_ip(&self, taken: &HashSet<Claim>) -> Result<String, Status> {
        let size = self.ranges.services.size();
        // The first is the `kubernetes` service's.
        let start = rand::rng().random_range(2..size - 1);
        let offsets = (start..size - 1).chain(2..start);
        let free = offsets.map(|offset| self.ranges.services.address(offset).to_string());
        free.into_iter().find(|ip| !taken.contains(&Claim::ServiceIp(ip.clone()))).ok_or_else(|| {
            Status::internal(format!("failed to allocate a serviceIP: range {} is full", self.ranges.services))
        })
    }

    fn free_port(&self, taken: &HashSet<Claim>, claimed: impl Fn(i32) -> bool) -> Result<i32, Status> {
        let (low, high) = (*self.ranges.node_ports.start(), *self.ranges.node_ports.end());
        let start = rand::rng().random_range(low..=high);
        (start..=high)
            .chain(low..start)
            .find(|port| !claimed(*port) && !taken.contains(&Claim::NodePort(*port)))
            .ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))
    }

    /// What a client asked for must lie in the ranges.
    pub(super) fn check_claims(&self, target: &Target, object: &Value) -> Result<(), Status> {
        let resource = target.resource();
        let mut errors = Errors::default();
        let spec = Path::new("spec");
        for claim in resource.strategy.claims(object) {
            match claim {
                Claim::ServiceIp(ip) => {
                    if !ip.parse().is_ok_and(|ip| self.ranges.services.contains(ip)) {
                        let range = &self.ranges.services;
                        let why = format!(
                            "failed to allocate IP {ip}: the provided IP ({ip}) is not in the valid range. The range of valid IPs is {range}"
                        );
                        errors.invalid(&spec.child("clusterIPs"), json!([ip]), why);
                    }
                }
                Claim::NodePort(port) => {
                    if !self.ranges.node_ports.contains(&port) {
                        let (low, high) = (self.ranges.node_ports.start(), self.ranges.node_ports.end());
                        let why = format!(
                            "provided port is not in the valid range. The range of valid ports is {low}-{high}"
                        );
                        let ports = spec.child("ports");
                        errors.invalid(&ports.index(port_index(object, port)).child("nodePort"), port, why);
                    }
                }
            }
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(Status::invalid(resource.group, resource.kind, meta::name(object), &errors))
    }

    /// Somebody else was faster. What we chose is chosen again; what the client asked for is refused.
    pub(super) fn claims_taken<'a>(
        &self,
        target: &Target,
        object: &Value,
        taken: impl Iterator<Item = &'a Claim>,
        chosen: &[Claim],
        attempt: usize,
    ) -> Result<(), Status> {
        let mut errors = Errors::default();
        let spec = Path::new("spec");
        for claim in taken.filter(|claim| !chosen.contains(claim)) {
            match claim {
                Claim::ServiceIp(ip) => {
                    let why = format!("failed to allocate IP {ip}: provided IP is already allocated");
                    errors.invalid(&spec.child("clusterIPs"), json!([ip]), why);
                }
                Claim::NodePort(port) => {
                    let ports = spec.child("ports");
                    let path = ports.index(port_index(object, *port));
                    errors.invalid(&path.child("nodePort"), *port, "provided port is already allocated");
                }
            }
        }
        let resource = target.resource();
        if !errors.is_empty() {
            return Err(Status::invalid(resource.group, resource.kind, meta::name(object), &errors));
        }
        if attempt >= TRIES {
            return Err(Status::internal(format!("no free address or port found in {TRIES} tries; try again")));
        }
        Ok(())
    }
}

fn port_index(object: &Value, node_port: i32) -> usize {
    let ports = object["spec"]["ports"].as_array().into_iter().flatten();
    ports.into_iter().position(|port| port["nodePort"] == node_port).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_leave_out_network_and_broadcast() {
        let range: ServiceRange = "10.254.7.9/24".parse().unwrap();
        assert_eq!(range.to_string(), "10.254.7.0/24");
        assert_eq!(range.first().to_string(), "10.254.7.1");
        for (ip, inside) in [
            ("10.254.7.0", false),
            ("10.254.7.1", true),
            ("10.254.7.254", true),
            ("10.254.7.255", false),
            ("10.254.8.1", false),
        ] {
            assert_eq!(range.contains(ip.parse().unwrap()), inside, "{ip}");
        }
        assert!("10.0.0.0/31".parse::<ServiceRange>().is_err() && "x/8".parse::<ServiceRange>().is_err());
    }
}
