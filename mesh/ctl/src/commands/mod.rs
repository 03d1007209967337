//! One file per subcommand.

pub mod affected;
pub mod audit;
pub mod bench;
pub mod canary;
pub mod cluster;
pub mod completions;
pub mod contracts;
pub mod deliver;
pub mod demo;
pub mod dlq;
pub mod docs;
pub mod doctor;
pub mod down;
pub mod endpoints;
pub mod flags;
pub mod gateway;
pub mod generate;
pub mod graph;
pub mod growth;
mod keys;
pub mod locks;
pub mod logs;
pub mod migrations;
pub mod policy;
pub mod provision;
pub mod rpc;
pub mod sagas;
mod search;
pub mod serve;
pub mod status;
pub mod supervise;
pub mod test;
pub mod token;
pub mod top;
pub mod trace;
pub mod up;
mod watch;
mod waterfall;

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The wishes that this program should end: Ctrl-C, SIGTERM, and the terminal's end.
#[derive(Debug)]
pub struct Ending {
    signals: Vec<Signal>,
}

impl Ending {
    /// From now on these signals are ours to obey.
    pub fn listen() -> io::Result<Ending> {
        Ending::of(&[SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()])
    }

    /// As [`listen`](Self::listen) for a process without a terminal, whose services read their
    /// policy again on SIGHUP.
    pub fn listen_without_terminal() -> io::Result<Ending> {
        Ending::of(&[SignalKind::interrupt(), SignalKind::terminate()])
    }

    fn of(kinds: &[SignalKind]) -> io::Result<Ending> {
        Ok(Ending { signals: kinds.iter().copied().map(signal).collect::<io::Result<_>>()? })
    }

    /// Waits for the next one.
    pub async fn wished(&mut self) {
        let waits = self.signals.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures::future::select_all(waits).await;
    }
}
