//! One process of a platform, and what a test may do to it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_local::{Signal, Supervised, http, tail};
use serde_json::Value;

use super::DRAINING;
use crate::{eventually, patience};

/// One replica of a service.
#[derive(Debug)]
pub struct ServiceProcess {
    pub(super) grpc: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) process: Supervised,
}

impl ServiceProcess {
    /// The service.
    pub fn name(&self) -> &str {
        &self.process.spec().name
    }

    /// Which replica it is, from 0.
    pub fn number(&self) -> u32 {
        self.process.spec().replica
    }

    /// Where it answers gRPC; the same after every restart.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Its admin port; the same after every restart.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The supervised process.
    pub fn process(&self) -> &Supervised {
        &self.process
    }

    /// The process id, if it runs now.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// How often it was started.
    pub fn starts(&self) -> u64 {
        self.process.status().starts
    }

    /// Kills it (SIGKILL) and waits until it is dead. It is started again after 100 ms.
    pub async fn kill(&self) {
        let before = self.process.status().process;
        self.process.signal(Signal::KILL);
        eventually("a killed process to be dead", async || {
            before.is_none_or(|process| !process.alive())
        })
        .await;
    }

    /// Kills it (SIGKILL) and keeps it away until [`ServiceProcess::up`].
    pub async fn down(&self) {
        self.process.down(Signal::KILL, Duration::ZERO).await;
    }

    /// Starts a process that was taken down.
    pub fn up(&self) {
        self.process.up();
    }

    /// Replaces it as a rollout does: lets it drain (SIGTERM), does `meanwhile` what has to be done while it
    /// is away, starts it again and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready, with the end of its log.
    pub async fn replace(&self, meanwhile: impl FnOnce()) {
        self.process.down(Signal::TERM, DRAINING).await;
        meanwhile();
        self.up();
        self.ready().await;
    }

    /// Stops it where it is (SIGSTOP): it keeps its connections and locks.
    pub fn stop(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets a stopped process go on (SIGCONT).
    pub fn cont(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Arms a crash point, `LABEL:WHEN`: the process kills itself when it gets there. Returns how
    /// often the process was started, for [`ServiceProcess::restarted`].
    ///
    /// # Panics
    /// If the service does not take it.
    pub async fn arm(&self, point: &str) -> u64 {
        let starts = self.starts();
        let answer = http::request(self.admin, "POST", &format!("/crash?point={point}")).await;
        assert!(matches!(answer, Ok((200, _))), "{} does not arm {point}: {answer:?}", self.name());
        starts
    }

    /// Waits until the process was started again after it had been started `starts` times: proof
    /// that an armed crash point was hit.
    pub async fn restarted(&self, starts: u64) {
        eventually(&format!("{} to die and be started again", self.name()), async || {
            self.starts() > starts && self.pid().is_some()
        })
        .await;
    }

    /// Whether it is ready now.
    pub async fn is_ready(&self) -> bool {
        http::is_ok(self.admin, "/readyz").await
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        let begun = Instant::now();
        while !self.is_ready().await {
            assert!(
                begun.elapsed() < patience(),
                "waited in vain for {} {} to be ready ({:?}); its log ends with\n{}",
                self.name(),
                self.number(),
                self.process.status(),
                tail(&self.process.spec().log, 20)
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it is connected to every endpoint of the services that it calls, as far as `asked`
    /// says so: who was started before its callees tries again after a while only.
    pub(super) async fn connected(&self, asked: impl Fn(&str) -> bool) {
        eventually(&format!("{} to be connected", self.name()), async || {
            let text = match http::request(self.admin, "GET", "/endpoints").await {
                Ok((200, text)) => text,
                // It calls nobody.
                Ok((404, _)) => return true,
                _ => return false,
            };
            let tables: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap_or_default();
            let ready = |row: &Value| row["state"] == "READY";
            let all_ready = |table: &Value| {
                table["endpoints"].as_array().is_some_and(|it| it.iter().all(ready))
            };
            let mut tables = tables.iter().filter(|(target, _)| asked(target));
            tables.all(|(_, table)| all_ready(table))
        })
        .await;
    }

    /// Its metrics in Prometheus' text format.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn metrics(&self) -> String {
        match http::request(self.admin, "GET", "/metrics").await {
            Ok((200, text)) => text,
            answer => panic!("{} shows no metrics: {answer:?}", self.name()),
        }
    }

    /// Everything it logged, over all its runs.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.process.spec().log).unwrap_or_default()
    }
}
