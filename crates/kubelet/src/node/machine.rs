//! What this machine is and has, read from the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use api::quantity::{Format, Quantity};

/// Memory that is kept for the system: below it the node is under pressure.
const MEMORY_RESERVE: i64 = 100 * 1024 * 1024;
/// Of the disk, in percent.
const DISK_RESERVE: u64 = 10;
/// Of the process ids, in percent.
const PID_RESERVE: u64 = 5;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel: String,
    pub os_image: String,
    pub cpus: i64,
    pub memory: i64,
    pub disk: i64,
}

/// What runs short.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    pub memory: bool,
    pub disk: bool,
    pub pids: bool,
}

/// Upstream's names of the architectures.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub fn machine(root: &Path) -> Machine {
    let text = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let os = text("/etc/os-release");
    let pretty = os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
    Machine {
        machine_id: text("/etc/machine-id"),
        system_uuid: text("/sys/class/dmi/id/product_uuid"),
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        kernel: text("/proc/sys/kernel/osrelease"),
        os_image: pretty.trim_matches('"').to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, |number| number.get() as i64),
        memory: meminfo("MemTotal").unwrap_or(0),
        disk: disk(root).map_or(0, |(total, _)| i64::try_from(total).unwrap_or(i64::MAX)),
    }
}

impl Machine {
    /// What the node has, and what pods may have of it.
    pub fn resources(&self, max_pods: i64) -> (BTreeMap<String, Quantity>, BTreeMap<String, Quantity>) {
        let list = |memory: i64, disk: i64| {
            BTreeMap::from([
                ("cpu".to_owned(), Quantity::new(self.cpus, Format::DecimalSI)),
                ("memory".to_owned(), Quantity::new(memory, Format::BinarySI)),
                ("ephemeral-storage".to_owned(), Quantity::new(disk, Format::BinarySI)),
                ("pods".to_owned(), Quantity::new(max_pods, Format::DecimalSI)),
            ])
        };
        let percent = i64::try_from(100 - DISK_RESERVE).unwrap_or(100);
        let pods = list((self.memory - MEMORY_RESERVE).max(0), self.disk / 100 * percent);
        (list(self.memory, self.disk), pods)
    }
}

pub fn pressure(root: &Path) -> Pressure {
    let disk = disk(root).is_some_and(|(total, free)| free < total / 100 * DISK_RESERVE);
    let memory = meminfo("MemAvailable").is_some_and(|bytes| bytes < MEMORY_RESERVE);
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let used = fs::read_to_string("/proc/loadavg").ok().and_then(|text| running(&text));
    let pids = match (used, number("/proc/sys/kernel/pid_max")) {
        (Some(used), Some(most)) => used > most / 100 * (100 - PID_RESERVE),
        _ => false,
    };
    Pressure { memory, disk, pids }
}

/// The fourth field is `running/all`.
fn running(loadavg: &str) -> Option<u64> {
    loadavg.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

/// In bytes; the kernel tells kilobytes.
fn meminfo(name: &str) -> Option<i64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse::<i64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Total and free bytes.
fn disk(path: &Path) -> Option<(u64, u64)> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    Some((stat.blocks() * stat.fragment_size(), stat.blocks_available() * stat.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_something() {
        let machine = machine(Path::new("/"));
        assert!(machine.cpus > 0 && machine.memory > MEMORY_RESERVE && machine.disk > 0 && !machine.kernel.is_empty());
        let (capacity, allocatable) = machine.resources(110);
        assert!(allocatable["memory"] < capacity["memory"]);
        assert_eq!(capacity["pods"].to_string(), "110");
    }

    #[test]
    fn processes_of_loadavg() {
        assert_eq!(running("0.00 0.01 0.05 2/345 6789\n"), Some(345));
        assert_eq!(running("nonsense"), None);
    }
}
