//! What this machine is and has, read from the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use api::quantity::{Format, Quantity};

use super::thresholds::{Amount, Thresholds};

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
        disk: disk(root).map_or(0, |disk| i64::try_from(disk.bytes).unwrap_or(i64::MAX)),
    }
}

impl Machine {
    /// What the node has, and what pods may have of it.
    pub fn resources(
        &self,
        max_pods: i64,
        thresholds: &Thresholds,
    ) -> (BTreeMap<String, Quantity>, BTreeMap<String, Quantity>) {
        let list = |memory: i64, disk: i64| {
            BTreeMap::from([
                ("cpu".to_owned(), Quantity::new(self.cpus, Format::DecimalSI)),
                ("memory".to_owned(), Quantity::new(memory, Format::BinarySI)),
                ("ephemeral-storage".to_owned(), Quantity::new(disk, Format::BinarySI)),
                ("pods".to_owned(), Quantity::new(max_pods, Format::DecimalSI)),
            ])
        };
        let rest = |all: i64, threshold: Option<Amount>| {
            let all = u64::try_from(all).unwrap_or(0);
            let kept = threshold.map_or(0, |threshold| threshold.of(all));
            i64::try_from(all.saturating_sub(kept)).unwrap_or(i64::MAX)
        };
        let pods = list(rest(self.memory, thresholds.memory), rest(self.disk, thresholds.disk));
        (list(self.memory, self.disk), pods)
    }
}

pub fn pressure(root: &Path, thresholds: &Thresholds) -> Pressure {
    // What can't be read is no pressure.
    let short = |threshold: Option<Amount>, free: Option<u64>, all: Option<u64>| match (threshold, free, all) {
        (Some(threshold), Some(free), Some(all)) => free < threshold.of(all),
        _ => false,
    };
    let memory = |name| meminfo(name).and_then(|bytes| u64::try_from(bytes).ok());
    let disk = disk(root);
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let running = fs::read_to_string("/proc/loadavg").ok().and_then(|text| running(&text));
    let most = number("/proc/sys/kernel/pid_max");
    Pressure {
        memory: short(thresholds.memory, memory("MemAvailable"), memory("MemTotal")),
        disk: short(thresholds.disk, disk.map(|disk| disk.bytes_free), disk.map(|disk| disk.bytes))
            || short(thresholds.inodes, disk.map(|disk| disk.inodes_free), disk.map(|disk| disk.inodes)),
        pids: short(thresholds.pids, most.zip(running).map(|(most, running)| most.saturating_sub(running)), most),
    }
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

#[derive(Clone, Copy)]
struct Disk {
    bytes: u64,
    bytes_free: u64,
    inodes: u64,
    inodes_free: u64,
}

fn disk(path: &Path) -> Option<Disk> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    Some(Disk {
        bytes: stat.blocks() * stat.fragment_size(),
        bytes_free: stat.blocks_available() * stat.fragment_size(),
        inodes: stat.files(),
        inodes_free: stat.files_available(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::thresholds::DEFAULT;
    use super::*;

    #[test]
    fn this_machine_has_something() {
        let machine = machine(Path::new("/"));
        assert!(machine.cpus > 0 && machine.memory > 0 && machine.disk > 0 && !machine.kernel.is_empty());
        let (capacity, allocatable) = machine.resources(110, &DEFAULT.parse().unwrap());
        assert!(allocatable["memory"] < capacity["memory"]);
        assert_eq!(capacity["pods"].to_string(), "110");
    }

    #[test]
    fn what_runs_short_is_a_matter_of_the_thresholds() {
        let pressure = |thresholds: &str| pressure(Path::new("/"), &thresholds.parse().unwrap());
        assert_eq!(pressure(""), Pressure::default());
        let all = pressure("memory.available<100%,nodefs.available<100%,pid.available<100%");
        assert_eq!(all, Pressure { memory: true, disk: true, pids: true });
        assert_eq!(pressure("nodefs.inodesFree<100%"), Pressure { disk: true, ..Pressure::default() });
    }

    #[test]
    fn processes_of_loadavg() {
        assert_eq!(running("0.00 0.01 0.05 2/345 6789\n"), Some(345));
        assert_eq!(running("nonsense"), None);
    }
}
