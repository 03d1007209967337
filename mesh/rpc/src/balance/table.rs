//! What the admin port shows of a balancer.

use std::net::SocketAddr;

use serde::Serialize;

use super::Circuit;

/// The state of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Not connected to yet.
    Idle,
    /// A connection is being made.
    Connecting,
    /// Takes calls.
    Ready,
    /// Connected, but out for what it answered.
    Gated,
    /// Could not be connected to; tried again after a pause.
    Backoff,
    /// No longer in the set; its calls end.
    Draining,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Connecting, Self::Ready, Self::Gated, Self::Backoff, Self::Draining];

    /// The state's name in metrics, events and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::Connecting => "CONNECTING",
            Self::Ready => "READY",
            Self::Gated => "GATED",
            Self::Backoff => "BACKOFF",
            Self::Draining => "DRAINING",
        }
    }
}

/// One endpoint, as a row of [`Balancer::table`](super::Balancer::table).
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it takes calls.
    pub state: State,
    /// Its breaker.
    pub breaker: Circuit,
    /// The estimate that picks go by, in milliseconds; penalties count in.
    pub rtt_ms: f64,
    /// Calls whose answers have not ended.
    pub pending: u32,
    /// Calls that the peer lets run at once; what is above waits on this side. None if unknown.
    pub max_streams: Option<u32>,
    /// Calls that have ended.
    pub calls: u64,
    /// Those that failed, streams by their last word.
    pub failures: u64,
    /// Why it is in its state.
    pub reason: String,
    /// Since when, in milliseconds of the Unix epoch.
    pub since: u64,
    /// Counts the breaker's states and probes.
    pub generation: u64,
}
