//! The command line.
use std::{net::IpAddr, time::Duration};

use clap::Parser;
use client::{ClientFlags, LeaderFlags};
use daemon::{CommonFlags, FlagError, flags::ListenFlag};

use crate::node::{cidr::CidrSet, ipam};

/// Makes the cluster what its objects say.
#[derive(Debug, Parser)]
#[command(name = "kube-controller-manager")]
pub struct Options {
    #[command(flatten)]
    pub common: CommonFlags,
    #[command(flatten)]
    pub client: ClientFlags,
    #[command(flatten)]
    pub leader: LeaderFlags,
    /// Address of the listener for health and metrics, which has no authentication
    #[arg(long, visible_alias = "bind-address", value_name = "IP", default_value = "127.0.0.1")]
    pub address: IpAddr,
    /// Port of that listener; 0 for none
    #[arg(long, visible_alias = "secure-port", value_name = "PORT", default_value_t = 10252)]
    pub port: u16,
    /// Replication controllers worked on at a time
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub concurrent_rc_syncs: usize,
    /// Services worked on at a time
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub concurrent_endpoint_syncs: usize,
    /// Namespaces worked on at a time
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub concurrent_namespace_syncs: usize,
    /// Objects that the garbage collector works on at a time
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub concurrent_gc_syncs: usize,
    /// Give each node a range of pod addresses out of --cluster-cidr
    #[arg(long, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub allocate_node_cidrs: bool,
    /// Addresses of all pods; an IPv4 and an IPv6 range by a comma
    #[arg(long, value_name = "CIDR", default_value = "")]
    pub cluster_cidr: String,
    /// Prefix length of a node's range; 0 for 24, and 64 of an IPv6 range
    #[arg(long, value_name = "BITS", default_value_t = 0)]
    pub node_cidr_mask_size: u8,
    /// How long a node may be silent before it counts as not ready
    #[arg(long, value_name = "DURATION", default_value = "50s", value_parser = duration)]
    pub node_monitor_grace_period: Duration,
    /// How long a new node may take before it says anything
    #[arg(long, value_name = "DURATION", default_value = "1m0s", value_parser = duration)]
    pub node_startup_grace_period: Duration,
    /// How often nodes are looked at
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub node_monitor_period: Duration,
    /// Accepted for the sake of old configuration files: pods say by their tolerations how long they stay
    #[arg(long, hide = true, value_name = "DURATION", default_value = "5m0s", value_parser = duration)]
    pub pod_eviction_timeout: Duration,
    /// Terminated pods past this number are deleted, the oldest first; 0 for none
    #[arg(long, value_name = "N", default_value_t = 12500)]
    pub terminated_pod_gc_threshold: usize,
}

impl Options {
    pub fn listen(&self) -> ListenFlag {
        ListenFlag::new("port", self.address, self.port)
    }

    /// The ranges that nodes' addresses are cut out of; none when nodes get none.
    pub fn node_ranges(&self) -> Result<Vec<CidrSet>, FlagError> {
        if !self.allocate_node_cidrs {
            return Ok(Vec::new());
        }
        ipam::ranges(&self.cluster_cidr, self.node_cidr_mask_size)
    }
}

/// `1h2m3.5s`, as Go writes durations.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration such as 40s or 1m30s");
    let (mut rest, mut total) = (text, Duration::ZERO);
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() && rest != "0" {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |length| end + length);
        let unit = match &rest[end..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return Err(wrong()),
        };
        total += Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
        rest = &rest[unit_end..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [("40s", 40_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("10ms", 10), ("0", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1x", "-1s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
