//! From ports to nftables: the rules of one service, and the script that leads from its old rules to its new ones.
//! Pure; `kernel.rs` runs the scripts.
//!
//! Verdict maps lead from an address to the chain of its port, so the cost of a packet does not depend on how many
//! services there are, and the cost of a change only on the service that changed.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::Ipv4Addr;

use crate::model::{Endpoint, Port};

/// Marks packets whose source has to become this node's.
const MASQUERADE: &str = "0x4000";
const NAME_LIMIT: usize = 100;

/// What a service has in the kernel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Chains and their rules.
    chains: BTreeMap<String, Vec<String>>,
    /// Maps of their own: clients that stay with an endpoint.
    maps: BTreeMap<String, String>,
    /// Elements of the shared maps and sets: where, key, value.
    elements: BTreeMap<(&'static str, String), String>,
}

/// The table with its fixed part, empty of services. In one transaction it takes the place of what was there.
pub fn skeleton(table: &str) -> String {
    format!(
        "table ip {table}
delete table ip {table}
table ip {table} {{
  map cluster-ips {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map node-ports {{ type inet_proto . inet_service : verdict; }}
  map no-endpoints {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map no-endpoint-ports {{ type inet_proto . inet_service : verdict; }}
  set hairpins {{ type ipv4_addr . ipv4_addr; }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with icmp port-unreachable
  }}
  chain services {{
    ip daddr . meta l4proto . th dport vmap @cluster-ips
    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @node-ports
  }}
  chain services-without-endpoints {{
    ip daddr . meta l4proto . th dport vmap @no-endpoints
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    goto services
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    goto services
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & {MASQUERADE} != 0 meta mark set meta mark xor {MASQUERADE} masquerade fully-random
    ip saddr . ip daddr @hairpins masquerade fully-random
  }}
  chain filter-forward {{
    type filter hook forward priority filter; policy accept;
    ct state new goto services-without-endpoints
  }}
  chain filter-output {{
    type filter hook output priority filter; policy accept;
    ct state new goto services-without-endpoints
  }}
  chain filter-input {{
    type filter hook input priority filter; policy accept;
    ct state new ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @no-endpoint-ports
  }}
}}
"
    )
}

impl Rules {
    pub fn of(ports: &[Port], pod_range: Option<&str>) -> Self {
        let mut rules = Self::default();
        ports.iter().for_each(|port| rules.add(port, pod_range));
        rules
    }

    fn add(&mut self, port: &Port, pod_range: Option<&str>) {
        let (protocol, number) = (port.protocol.name(), port.port);
        let key = |ip: Ipv4Addr| format!("{ip} . {protocol} . {number}");
        let id = name(&format!("{}/{protocol}/{number}", port.service));
        if port.internal.is_empty() {
            self.element("no-endpoints", key(port.cluster_ip), "goto refuse");
        } else {
            let chain = format!("service-{id}");
            // Who is not a pod gets this node's address, so that answers come back by way of this node.
            let first = pod_range.map(|range| format!("ip saddr != {range} meta mark set meta mark or {MASQUERADE}"));
            self.endpoints(&chain, first.as_deref(), port, &port.internal);
            self.element("cluster-ips", key(port.cluster_ip), &format!("goto {chain}"));
        }
        if port.node_port.is_none() && port.external_ips.is_empty() {
            return;
        }
        if port.external.is_empty() {
            for ip in &port.external_ips {
                self.element("no-endpoints", key(*ip), "goto refuse");
            }
            if let Some(node_port) = port.node_port {
                self.element("no-endpoint-ports", format!("{protocol} . {node_port}"), "goto refuse");
            }
            return;
        }
        let chain = format!("external-{id}");
        let masquerade = format!("meta mark set meta mark or {MASQUERADE}");
        let first = (!port.external_keeps_source).then_some(masquerade.as_str());
        self.endpoints(&chain, first, port, &port.external);
        for ip in &port.external_ips {
            self.element("cluster-ips", key(*ip), &format!("goto {chain}"));
        }
        if let Some(node_port) = port.node_port {
            self.element("node-ports", format!("{protocol} . {node_port}"), &format!("goto {chain}"));
        }
    }

    fn element(&mut self, set: &'static str, key: String, value: &str) {
        self.elements.insert((set, key), value.to_owned());
    }

    /// The chain that chooses one of the endpoints.
    fn endpoints(&mut self, chain: &str, first: Option<&str>, port: &Port, endpoints: &[Endpoint]) {
        let protocol = port.protocol.name();
        let mut rules: Vec<String> = first.map(str::to_owned).into_iter().collect();
        let count = endpoints.len();
        match port.affinity {
            None => {
                let choices = endpoints.iter().enumerate().map(|(at, e)| format!("{at} : {} . {}", e.ip, e.port));
                let choices = choices.collect::<Vec<_>>().join(", ");
                rules.push(format!("meta l4proto {protocol} dnat ip to numgen random mod {count} map {{ {choices} }}"));
            }
            Some(seconds) => {
                let clients = format!("clients-{chain}");
                let kind = "type ipv4_addr : ipv4_addr . inet_service; flags dynamic,timeout";
                self.maps.insert(clients.clone(), format!("{kind}; timeout {seconds}s;"));
                rules.push(format!("meta l4proto {protocol} dnat ip to ip saddr map @{clients}"));
                let mut choices = Vec::new();
                for (at, e) in endpoints.iter().enumerate() {
                    let own = format!("{chain}-{at}");
                    choices.push(format!("{at} : goto {own}"));
                    self.chains.insert(
                        own,
                        vec![
                            format!("update @{clients} {{ ip saddr : {} . {} }}", e.ip, e.port),
                            format!("meta l4proto {protocol} dnat ip to {}:{}", e.ip, e.port),
                        ],
                    );
                }
                rules.push(format!("numgen random mod {count} vmap {{ {} }}", choices.join(", ")));
            }
        }
        self.chains.insert(chain.to_owned(), rules);
        for endpoint in endpoints {
            // A pod that reaches itself by way of the service must not see itself as the client.
            self.element("hairpins", format!("{0} . {0}", endpoint.ip), "");
        }
    }
}

/// A name that nftables takes, different for different services.
fn name(text: &str) -> String {
    if text.len() <= NAME_LIMIT {
        return text.to_owned();
    }
    // FNV-1a: short, and the same in every run.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}-{}", &text[text.len() - (NAME_LIMIT - 17)..])
}

/// How many services hold an element of a shared set.
#[derive(Debug, Default)]
pub struct Shared(HashMap<(&'static str, String), usize>);

impl Shared {
    /// The script from a service's old rules to its new ones; empty when nothing changes.
    pub fn change(&mut self, table: &str, old: &Rules, new: &Rules) -> String {
        let mut script = String::new();
        let mut line = |text: std::fmt::Arguments<'_>| {
            // Writing to a String cannot fail.
            let _ = writeln!(script, "{text}");
        };
        for (map, declaration) in new.maps.iter().filter(|(map, kind)| old.maps.get(*map) != Some(kind)) {
            line(format_args!("add map ip {table} {map} {{ {declaration} }}"));
        }
        let changed: Vec<_> = new.chains.iter().filter(|(name, rules)| old.chains.get(*name) != Some(rules)).collect();
        for (chain, _) in &changed {
            line(format_args!("add chain ip {table} {chain}"));
            line(format_args!("flush chain ip {table} {chain}"));
        }
        for (chain, rules) in &changed {
            for rule in rules.iter() {
                line(format_args!("add rule ip {table} {chain} {rule}"));
            }
        }
        for ((set, key), value) in &old.elements {
            match new.elements.get(&(*set, key.clone())) {
                Some(same) if same == value => {}
                Some(_) => line(format_args!("delete element ip {table} {set} {{ {key} }}")),
                None => {
                    let count = self.0.entry((set, key.clone())).or_insert(1);
                    *count -= 1;
                    if *count == 0 {
                        self.0.remove(&(*set, key.clone()));
                        line(format_args!("delete element ip {table} {set} {{ {key} }}"));
                    }
                }
            }
        }
        for ((set, key), value) in &new.elements {
            let held = old.elements.get(&(*set, key.clone()));
            if held == Some(value) {
                continue;
            }
            let count = self.0.entry((set, key.clone())).or_insert(0);
            *count += usize::from(held.is_none());
            if *count == 1 || held.is_some() {
                let value = if value.is_empty() { String::new() } else { format!(" : {value}") };
                line(format_args!("add element ip {table} {set} {{ {key}{value} }}"));
            }
        }
        let gone: Vec<&String> = old.chains.keys().filter(|name| !new.chains.contains_key(*name)).collect();
        // A chain can only go when no rule leads to it any more.
        for chain in &gone {
            line(format_args!("flush chain ip {table} {chain}"));
        }
        for chain in &gone {
            line(format_args!("delete chain ip {table} {chain}"));
        }
        for map in old.maps.keys().filter(|name| !new.maps.contains_key(*name)) {
            line(format_args!("delete map ip {table} {map}"));
        }
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;
    use expect_test::expect;

    fn port(endpoints: &[&str]) -> Port {
        let endpoint = |ip: &&str| Endpoint { ip: ip.parse().unwrap(), port: 6379 };
        let endpoints: Vec<Endpoint> = endpoints.iter().map(endpoint).collect();
        Port {
            service: "default/redis".into(),
            protocol: Protocol::Tcp,
            port: 6379,
            cluster_ip: "10.254.0.9".parse().unwrap(),
            external_ips: Vec::new(),
            node_port: Some(30001),
            internal: endpoints.clone(),
            external: endpoints,
            external_keeps_source: false,
            affinity: None,
        }
    }

    #[test]
    fn a_service_comes_changes_and_goes() {
        let mut shared = Shared::default();
        let range = Some("10.244.0.0/16");
        let (none, one, two) = (
            Rules::of(&[port(&[])], range),
            Rules::of(&[port(&["10.244.0.2"])], range),
            Rules::of(&[port(&["10.244.0.2", "10.244.0.3"])], range),
        );
        let mut log = shared.change("t", &Rules::default(), &none);
        for (old, new) in [(&none, &one), (&one, &two), (&two, &two), (&two, &Rules::default())] {
            log.push_str("--\n");
            log.push_str(&shared.change("t", old, new));
        }
        assert!(shared.0.is_empty());
        expect![[r#"
            add element ip t no-endpoint-ports { tcp . 30001 : goto refuse }
            add element ip t no-endpoints { 10.254.0.9 . tcp . 6379 : goto refuse }
            --
            add chain ip t external-default/redis/tcp/6379
            flush chain ip t external-default/redis/tcp/6379
            add chain ip t service-default/redis/tcp/6379
            flush chain ip t service-default/redis/tcp/6379
            add rule ip t external-default/redis/tcp/6379 meta mark set meta mark or 0x4000
            add rule ip t external-default/redis/tcp/6379 meta l4proto tcp dnat ip to numgen random mod 1 map { 0 : 10.244.0.2 . 6379 }
            add rule ip t service-default/redis/tcp/6379 ip saddr != 10.244.0.0/16 meta mark set meta mark or 0x4000
            add rule ip t service-default/redis/tcp/6379 meta l4proto tcp dnat ip to numgen random mod 1 map { 0 : 10.244.0.2 . 6379 }
            delete element ip t no-endpoint-ports { tcp . 30001 }
            delete element ip t no-endpoints { 10.254.0.9 . tcp . 6379 }
            add element ip t cluster-ips { 10.254.0.9 . tcp . 6379 : goto service-default/redis/tcp/6379 }
            add element ip t hairpins { 10.244.0.2 . 10.244.0.2 }
            add element ip t node-ports { tcp . 30001 : goto external-default/redis/tcp/6379 }
            --
            add chain ip t external-default/redis/tcp/6379
            flush chain ip t external-default/redis/tcp/6379
            add chain ip t service-default/redis/tcp/6379
            flush chain ip t service-default/redis/tcp/6379
            add rule ip t external-default/redis/tcp/6379 meta mark set meta mark or 0x4000
            add rule ip t external-default/redis/tcp/6379 meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.244.0.2 . 6379, 1 : 10.244.0.3 . 6379 }
            add rule ip t service-default/redis/tcp/6379 ip saddr != 10.244.0.0/16 meta mark set meta mark or 0x4000
            add rule ip t service-default/redis/tcp/6379 meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.244.0.2 . 6379, 1 : 10.244.0.3 . 6379 }
            add element ip t hairpins { 10.244.0.3 . 10.244.0.3 }
            --
            --
            delete element ip t cluster-ips { 10.254.0.9 . tcp . 6379 }
            delete element ip t hairpins { 10.244.0.2 . 10.244.0.2 }
            delete element ip t hairpins { 10.244.0.3 . 10.244.0.3 }
            delete element ip t node-ports { tcp . 30001 }
            flush chain ip t external-default/redis/tcp/6379
            flush chain ip t service-default/redis/tcp/6379
            delete chain ip t external-default/redis/tcp/6379
            delete chain ip t service-default/redis/tcp/6379
        "#]].assert_eq(&log);
    }

    /// The real nft, in a network namespace of its own, takes every step, and the last one leaves no trace.
    #[test]
    fn the_kernel_takes_the_scripts() {
        let sticky = Port { affinity: Some(60), external_keeps_source: true, ..port(&["10.244.0.2", "10.244.0.3"]) };
        let long = Port { service: format!("{0}/{0}", "n".repeat(63)), ..port(&["10.244.0.2"]) };
        let states = [
            Rules::default(),
            Rules::of(&[port(&[])], None),
            Rules::of(&[port(&["10.244.0.2"])], Some("10.244.0.0/16")),
            Rules::of(&[sticky], Some("10.244.0.0/16")),
            Rules::of(&[long], None),
            Rules::default(),
        ];
        let folder = tempfile::tempdir().unwrap();
        let mut shared = Shared::default();
        let mut commands = String::from("set -e; PATH=$PATH:/usr/sbin:/sbin\n");
        let first = skeleton("t");
        for (at, pair) in states.windows(2).enumerate() {
            let script = format!("{}{}", if at == 0 { &first } else { "" }, shared.change("t", &pair[0], &pair[1]));
            let file = folder.path().join(format!("{at}.nft"));
            std::fs::write(&file, script).unwrap();
            commands.push_str(&format!("nft -f {}\n", file.display()));
        }
        commands.push_str("nft list table ip t\n");
        let output = std::process::Command::new("unshare").args(["--net", "sh", "-c", &commands]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let left = String::from_utf8_lossy(&output.stdout);
        assert!(!left.contains("10.254.0.9") && !left.contains("chain service-"), "{left}");
    }
}
