//! What every process says and uses at one moment.

use std::fs;
use std::net::SocketAddr;

use futures::future::join_all;
use mesh_local::http;
use tokio::time::Instant;

use super::Metrics;
use crate::bench::usage_with_children;

/// Linux counts time for programs in hundredths of a second, on every platform.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process to look at.
#[derive(Clone, Debug)]
pub struct Process {
    /// The service; or a server, which has no admin port.
    pub name: String,
    /// Which of several, from 0.
    pub replica: usize,
    /// The process id.
    pub pid: u32,
    /// Its admin port.
    pub admin: Option<SocketAddr>,
}

/// What was seen of a process.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The process.
    pub process: Process,
    /// Whether it says that it is ready; for a server, whether it runs.
    pub ready: bool,
    /// Seconds since it was started; none if it is gone.
    pub up_seconds: Option<f64>,
    /// CPU seconds so far, its children's too.
    pub cpu_seconds: Option<f64>,
    /// Resident memory, its children's too.
    pub rss_kib: Option<u64>,
    /// What it counts; none if it does not answer.
    pub metrics: Option<Metrics>,
}

/// All processes at one moment.
#[derive(Clone, Debug)]
pub struct Glance {
    /// The moment.
    pub at: Instant,
    /// What was seen, in the order of the processes.
    pub seen: Vec<Seen>,
}

/// Looks at all processes at once. One that does not answer is seen as not ready.
pub async fn look(processes: Vec<Process>) -> Glance {
    let at = Instant::now();
    Glance { at, seen: join_all(processes.into_iter().map(see)).await }
}

async fn see(process: Process) -> Seen {
    let (mut ready, mut metrics) = (false, None);
    if let Some(admin) = process.admin {
        let (readyz, page) =
            tokio::join!(http::is_ok(admin, "/readyz"), http::request(admin, "GET", "/metrics"));
        ready = readyz;
        metrics = page.ok().filter(|(status, _)| *status == 200).map(|(_, it)| Metrics::parse(&it));
    }
    let usage = usage_with_children(process.pid);
    let up_seconds = up_seconds(process.pid);
    Seen {
        ready: ready || process.admin.is_none() && up_seconds.is_some(),
        up_seconds,
        cpu_seconds: usage.map(|usage| usage.cpu_seconds),
        rss_kib: usage.map(|usage| usage.rss_kib),
        metrics,
        process,
    }
}

fn up_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let since_boot: f64 =
        fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    // The name may hold anything, brackets too; what comes after the last one is regular.
    let started: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some((since_boot - started / TICKS_PER_SECOND).max(0.0))
}
