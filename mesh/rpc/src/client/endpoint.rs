//! One address of a service and the connection to it.

use std::{
    net::SocketAddr,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tonic::transport::{self, Channel};

const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(10);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How long an endpoint that failed is passed over.
const PAUSE: Duration = Duration::from_secs(1);
/// Requests that may wait for one connection.
const QUEUE: usize = 4096;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// An endpoint with one connection, made when it is needed and made again when it breaks.
pub(super) struct Endpoint {
    address: SocketAddr,
    channel: Channel,
    /// Milliseconds after [`EPOCH`] at which it is promising again; 0 if it is.
    paused_until: AtomicU64,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr) -> Result<Self, transport::Error> {
        // None of tonic's timeouts or limits: see `Deadline`.
        let channel = transport::Endpoint::from_shared(format!("http://{address}"))?
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_LIMIT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_LIMIT)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .buffer_size(QUEUE)
            .connect_lazy();
        Ok(Self { address, channel, paused_until: AtomicU64::new(0) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Passes it over for a moment: it could not be connected to, or did not answer in time.
    pub(super) fn failed(&self) {
        self.failed_at(Instant::now());
    }

    pub(super) fn failed_at(&self, now: Instant) {
        self.paused_until.store(since_epoch(now + PAUSE), Ordering::Relaxed);
    }

    /// Takes it back at once.
    pub(super) fn worked(&self) {
        if self.paused_until.load(Ordering::Relaxed) != 0 {
            self.paused_until.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn is_promising(&self) -> bool {
        // The clock is read only while something is wrong.
        match self.paused_until() {
            0 => true,
            until => until <= since_epoch(Instant::now()),
        }
    }

    /// Milliseconds after some moment that all endpoints share; 0 if it is not passed over.
    pub(super) fn paused_until(&self) -> u64 {
        self.paused_until.load(Ordering::Relaxed)
    }
}

fn since_epoch(instant: Instant) -> u64 {
    let millis = instant.saturating_duration_since(*EPOCH).as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX).max(1)
}
