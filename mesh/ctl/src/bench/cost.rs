//! What the processes and PostgreSQL did between two moments.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::Subject;
use crate::demo::rounded;

/// Linux counts time for programs in hundredths of a second, on every platform.
const TICKS_PER_SECOND: f64 = 100.0;
const GENERATOR: &str = "generator";

/// What one confirmed order cost.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Every program's part, by name; PostgreSQL's with all its processes.
    pub programs: BTreeMap<String, Share>,
    /// Transactions that wrote something.
    pub write_transactions_per_order: f64,
    /// All transactions, reading ones too. PostgreSQL counts them with a delay of about a second.
    pub commits_per_order: f64,
    /// Bytes of the write-ahead log.
    pub wal_bytes_per_order: u64,
}

/// A program's part.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Share {
    /// CPU seconds per confirmed order, in milliseconds.
    pub cpu_ms_per_order: f64,
    /// How many cores it kept busy.
    pub cores: f64,
    /// Resident memory afterwards; what its processes share is counted once.
    pub rss_mib: f64,
}

/// The counters at one moment.
pub(super) struct Sample {
    programs: BTreeMap<String, Usage>,
    write_transactions: i64,
    commits: i64,
    wal_bytes: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    pub cpu_seconds: f64,
    pub rss_kib: u64,
}

impl Sample {
    /// Reads the counters.
    pub async fn take(subject: &Subject) -> Result<Sample> {
        let mut programs: BTreeMap<String, Usage> = BTreeMap::new();
        for (name, pid) in &subject.processes {
            let usage = usage_with_children(*pid);
            let usage = usage.with_context(|| format!("{name} has no process {pid}"))?;
            let sum = programs.entry(name.clone()).or_default();
            sum.cpu_seconds += usage.cpu_seconds;
            sum.rss_kib += usage.rss_kib;
        }
        let own = usage_with_children(std::process::id()).context("/proc cannot be read")?;
        programs.insert(GENERATOR.to_owned(), own);

        let mut postgres = PgConnection::connect(&subject.postgres_url).await?;
        let row = sqlx::query(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS writes,
                    (SELECT sum(xact_commit)::bigint FROM pg_stat_database) AS commits,
                    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal",
        )
        .fetch_one(&mut postgres)
        .await?;
        let sample = Sample {
            programs,
            write_transactions: row.try_get("writes")?,
            commits: row.try_get("commits")?,
            wal_bytes: row.try_get("wal")?,
        };
        postgres.close().await?;
        Ok(sample)
    }
}

impl Cost {
    /// What so many orders cost that were confirmed between two moments.
    pub(super) fn between(before: &Sample, after: &Sample, orders: u64, elapsed: Duration) -> Cost {
        let per_order = |before: i64, after: i64| (after - before) as f64 / orders as f64;
        let share = |(name, after): (&String, &Usage)| {
            let before = before.programs.get(name).copied().unwrap_or_default();
            // A program that was started again meanwhile began at zero.
            let cpu_seconds = (after.cpu_seconds - before.cpu_seconds).max(0.0);
            let share = Share {
                cpu_ms_per_order: hundredths(cpu_seconds * 1000.0 / orders as f64),
                cores: hundredths(cpu_seconds / elapsed.as_secs_f64()),
                rss_mib: rounded(after.rss_kib as f64 / 1024.0),
            };
            (name.clone(), share)
        };
        Cost {
            programs: after.programs.iter().map(share).collect(),
            write_transactions_per_order: hundredths(per_order(
                before.write_transactions,
                after.write_transactions,
            )),
            commits_per_order: hundredths(per_order(before.commits, after.commits)),
            wal_bytes_per_order: per_order(before.wal_bytes, after.wal_bytes) as u64,
        }
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A process and its children: PostgreSQL has one per connection. Children that have ended are
/// in their parent's account.
pub(crate) fn usage_with_children(pid: u32) -> Option<Usage> {
    let (parent, mut memory) = (stat(pid)?, memory(pid)?);
    let mut cpu_seconds = parent.cpu_seconds;
    let others = fs::read_dir("/proc").ok()?.flatten();
    let pids = others.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for other in pids {
        if let Some(child) = stat(other).filter(|stat| stat.parent == pid) {
            cpu_seconds += child.cpu_seconds;
            memory.add(self::memory(other).unwrap_or_default());
        }
    }
    Some(Usage { cpu_seconds, rss_kib: memory.sum() })
}

/// Resident memory in KiB, by who else has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Memory {
    own: u64,
    shared: u64,
}

impl Memory {
    fn read(status: &str) -> Memory {
        let part = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            number.unwrap_or_default()
        };
        Memory { own: part("RssAnon:"), shared: part("RssFile:") + part("RssShmem:") }
    }

    /// Adds a process that shares what it can with these.
    fn add(&mut self, other: Memory) {
        self.own += other.own;
        self.shared = self.shared.max(other.shared);
    }

    fn sum(self) -> u64 {
        self.own + self.shared
    }
}

fn memory(pid: u32) -> Option<Memory> {
    Some(Memory::read(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?))
}

#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    cpu_seconds: f64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name may hold anything, brackets too; what comes after the last one is regular.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let mut ticks = 0.0;
    for field in fields.get(11..15)? {
        ticks += field.parse::<f64>().ok()?;
    }
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu_seconds: ticks / TICKS_PER_SECOND })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_and_of_its_ended_children_is_read() {
        let text = "77 (a (b) c) S 12 1 1 0 -1 0 0 0 0 0 150 50 25 75 20 0 4 0 9 10 11";

        assert_eq!(parse_stat(text), Some(Stat { parent: 12, cpu_seconds: 3.0 }));
        assert_eq!(parse_stat("77 (short) S 12"), None);
    }

    #[test]
    fn shared_memory_is_counted_once() {
        let status = "RssAnon:\t  100 kB\nRssFile:\t 20 kB\nRssShmem:\t 3000 kB\nThreads:\t1\n";
        let mut memory = Memory::read(status);
        assert_eq!((memory, memory.sum()), (Memory { own: 100, shared: 3020 }, 3120));

        memory.add(Memory::read("RssAnon: 50 kB\nRssShmem: 4000 kB"));
        assert_eq!(memory.sum(), 4150);
        assert_eq!(Memory::read("Name:\tkthreadd\n").sum(), 0);
    }

    #[test]
    fn a_cost_is_the_difference_per_order() {
        let sample = |cpu_seconds, write_transactions, commits, wal_bytes| Sample {
            programs: BTreeMap::from([("orders".to_owned(), Usage { cpu_seconds, rss_kib: 2048 })]),
            write_transactions,
            commits,
            wal_bytes,
        };
        let (before, after) = (sample(1.0, 100, 200, 1000), sample(3.0, 1300, 1700, 501_000));

        let cost = Cost::between(&before, &after, 100, Duration::from_secs(4));

        let share = cost.programs["orders"];
        assert_eq!((share.cpu_ms_per_order, share.cores, share.rss_mib), (20.0, 0.5, 2.0));
        assert_eq!((cost.write_transactions_per_order, cost.commits_per_order), (12.0, 15.0));
        assert_eq!(cost.wal_bytes_per_order, 5000);
    }
}
