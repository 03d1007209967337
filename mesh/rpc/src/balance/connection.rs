//! One HTTP/2 connection: made within a limit, watched by pings, and known to be ready.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{Ping, PingPong, client};
use mesh_policy::values;
use tokio::{
    sync::watch,
    time::{sleep, sleep_until, timeout},
};
use tonic::{Code, Status};

use super::{
    Connect, Io,
    link::Link,
    wire::{Pulse, Wire},
};
use crate::{transport, turn::Turn};

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const MAX_HEADERS: u32 = 32 << 10;
/// What h2 says of the peer's limit until the peer has said one itself.
const UNTOLD: usize = usize::MAX - 1;

/// A connection that the peer has greeted, and its end.
pub(super) struct Open {
    pub(super) link: Arc<Link>,
    phase: watch::Receiver<Phase>,
}

/// How far a connection is.
#[derive(Clone, Debug)]
enum Phase {
    /// The peer has said nothing yet.
    Greeting,
    Open,
    /// It takes no more calls.
    Ended(End),
}

/// How a connection ended, or began to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer said good-bye, with this error code, or the connection is used up.
    GoAway(u32),
    /// It is gone.
    Lost,
}

impl Open {
    /// Waits until the connection takes no more calls. Those under way go on.
    pub(super) async fn ended(mut self) -> End {
        match self.phase.wait_for(|phase| matches!(phase, Phase::Ended(_))).await.as_deref() {
            Ok(Phase::Ended(end)) => *end,
            _ => End::Lost,
        }
    }
}

/// Connects to `address` and waits for the peer's first word, so that what only accepts
/// connections is not taken for an endpoint, and a refused certificate is known here.
pub(super) async fn open(
    connect: &dyn Connect,
    address: SocketAddr,
    values: &values::Connection,
    ping: Duration,
) -> Result<Open, Status> {
    match timeout(values.connect, greet(connect, address, values, ping)).await {
        Ok(opened) => opened,
        Err(_) => Err(transport::not_sent(Code::Unavailable, "not connected in time")),
    }
}

async fn greet(
    connect: &dyn Connect,
    address: SocketAddr,
    values: &values::Connection,
    ping: Duration,
) -> Result<Open, Status> {
    let wire = Wire::new(connect.connect(address).await.map_err(failed)?);
    let pulse = wire.pulse();
    let (sender, mut connection) = client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .initial_max_send_streams(UNTOLD)
        .enable_push(false)
        .handshake(wire)
        .await
        .map_err(failed)?;
    let pings = connection.ping_pong();
    let turn = Arc::new(Turn::default());
    let link = Arc::new(Link::new(sender, Arc::clone(&turn)));
    let (tell, mut phase) = watch::channel(Phase::Greeting);
    let weak = Arc::downgrade(&link);
    let watch = Watch {
        pings,
        link: Weak::clone(&weak),
        pulse: Arc::clone(&pulse),
        every: ping,
        limit: values.ping_limit,
    };
    let running = Running { connection, link: weak, pulse, reads: 0, tell };
    let task = tokio::spawn(turn.run(run(running, watch)));
    if is_greeted(&mut phase).await {
        return Ok(Open { link, phase });
    }
    drop(link);
    Err(match task.await {
        Ok(Err(error)) => failed(error),
        Ok(Ok(())) | Err(_) => failed(io::Error::from(io::ErrorKind::UnexpectedEof)),
    })
}

async fn is_greeted(phase: &mut watch::Receiver<Phase>) -> bool {
    let begun = phase.wait_for(|phase| !matches!(phase, Phase::Greeting)).await;
    matches!(begun.as_deref(), Ok(Phase::Open))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Status {
    transport::normalize(Box::new(error))
}

/// Moves the connection's bytes until it ends, and ends it if the peer is there no more.
async fn run(running: Running, watch: Watch) -> Result<(), h2::Error> {
    let pulse = Arc::clone(&running.pulse);
    let mut running = pin!(running);
    tokio::select! {
        biased;
        ended = running.as_mut() => return ended,
        () = watch.silence() => pulse.stop(),
    }
    running.await
}

/// A connection at work. What its peer says about itself is told on.
struct Running {
    connection: client::Connection<Wire<Box<dyn Io>>, Bytes>,
    link: Weak<Link>,
    pulse: Arc<Pulse>,
    /// What had been read when the peer's words were looked at.
    reads: u64,
    tell: watch::Sender<Phase>,
}

impl Future for Running {
    type Output = Result<(), h2::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let running = self.get_mut();
        let polled = Pin::new(&mut running.connection).poll(cx);
        let reads = running.pulse.reads();
        if reads != running.reads || polled.is_ready() {
            running.reads = reads;
            running.look(polled.is_ready());
        }
        polled
    }
}

impl Running {
    fn look(&self, over: bool) {
        let Some(link) = self.link.upgrade() else { return };
        if let Some(end) = link.end().or_else(|| over.then_some(End::Lost)) {
            return self.end(&link, end);
        }
        let max = self.connection.max_concurrent_send_streams();
        if max != UNTOLD {
            link.limit(max);
            self.tell.send_if_modified(|phase| {
                let first = matches!(phase, Phase::Greeting);
                *phase = Phase::Open;
                first
            });
        }
    }

    fn end(&self, link: &Link, end: End) {
        link.close();
        self.tell.send_if_modified(|phase| {
            let first = !matches!(phase, Phase::Ended(_));
            if first {
                *phase = Phase::Ended(end);
            }
            first
        });
    }
}

/// Asks a silent peer whether it is there (gRFC A8).
struct Watch {
    pings: Option<PingPong>,
    link: Weak<Link>,
    pulse: Arc<Pulse>,
    every: Duration,
    limit: Duration,
}

impl Watch {
    /// Returns when the peer is there no more.
    async fn silence(self) {
        let Self { pings: Some(mut pings), link, pulse, every, limit } = self else {
            return std::future::pending().await;
        };
        loop {
            let heard = pulse.heard();
            sleep_until(heard + every).await;
            if pulse.heard() != heard {
                continue;
            }
            // Without calls silence is no wonder, and a peer may take pings for an attack.
            if !link.upgrade().is_some_and(|link| link.is_busy()) {
                sleep(every).await;
                continue;
            }
            let mut pong = pin!(pings.ping(Ping::opaque()));
            loop {
                let reads = pulse.reads();
                match timeout(limit, pong.as_mut()).await {
                    Ok(Ok(_)) => break,
                    // The connection ends by itself.
                    Ok(Err(_)) => return std::future::pending().await,
                    Err(_) if pulse.reads() == reads => return,
                    // It is busy sending something else.
                    Err(_) => {}
                }
            }
        }
    }
}
