//! `process_…`: what the kernel knows of this process.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// How the kernel counts time for programs (`USER_HZ`): the same on all that Linux runs on today.
const TICKS: f64 = 100.0;

#[derive(Debug)]
pub struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (status, stat, limits, system) =
            (read("/proc/self/status"), read("/proc/self/stat"), read("/proc/self/limits"), read("/proc/stat"));
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<i64>().ok()
        };
        let open = std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() as i64).ok();
        let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory size in bytes", field("VmRSS").map(|kib| kib * 1024)),
            ("process_virtual_memory_bytes", "Virtual memory size in bytes", field("VmSize").map(|kib| kib * 1024)),
            ("process_threads", "Number of threads", field("Threads")),
            ("process_open_fds", "Number of open file descriptors", open),
            ("process_max_fds", "Maximum number of open file descriptors", limit.and_then(|text| text.parse().ok())),
        ] {
            let Some(value) = value else { continue };
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        // The name of the program comes first, and may hold anything.
        let times: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |at: usize| times.get(at)?.parse::<f64>().ok();
        if let (Some(user), Some(kernel)) = (ticks(11), ticks(12)) {
            let help = "Total user and system CPU time spent in seconds";
            let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            ConstCounter::new((user + kernel) / TICKS).encode(metric)?;
        }
        let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        if let (Some(start), Some(boot)) = (ticks(19), boot) {
            let help = "Start time of the process since unix epoch in seconds";
            let metric = encoder.encode_descriptor("process_start_time_seconds", help, None, MetricType::Gauge)?;
            ConstGauge::new(boot + start / TICKS).encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn the_kernel_is_read_rightly() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessMetrics));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap()
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-2.0..3600.0).contains(&age), "{age}");
        assert!(value("process_cpu_seconds_total") >= 0.0 && value("process_resident_memory_bytes") > 1e5);
        assert!(value("process_max_fds") >= value("process_open_fds"));
    }
}
