//! One file per subcommand.

pub mod audit;
pub mod bench;
pub mod demo;
pub mod dlq;
pub mod down;
pub mod logs;
pub mod sagas;
pub mod serve;
pub mod status;
pub mod supervise;
pub mod test;
pub mod up;

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The wishes that this program should end: Ctrl-C, SIGTERM, and the terminal's end.
#[derive(Debug)]
pub struct Ending {
    signals: [Signal; 3],
}

impl Ending {
    /// From now on these signals are ours to obey.
    pub fn listen() -> io::Result<Ending> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Ending { signals: [interrupt?, terminate?, hangup?] })
    }

    /// Waits for the next one.
    pub async fn wished(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
