//! Connections: accepted or turned away, served, told good-bye, and cut if they do not go.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock, atomic::Ordering},
    time::Duration,
};

use mesh_runtime::{Hold, Service};
use opentelemetry::{KeyValue, metrics::Counter};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Accepted, Stack,
    connection::{self, Connection, Life},
    shield,
    socket::Socket,
    transport::Greeted,
};

/// A connection that has not shaken hands and begun to speak HTTP/2 by then is no client.
const PREFACE_LIMIT: Duration = Duration::from_secs(10);
/// Time that one which was made just before the end has to say something.
const LAST_WORD: Duration = Duration::from_millis(250);
/// Pause after an error that is not one connection's, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time that connections have to close after their calls were ended.
const CUT_LIMIT: Duration = Duration::from_secs(2);
/// Time that shielded work has when everything else has ended.
const SHIELD_LIMIT: Duration = Duration::from_secs(2);

static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.server.connections_refused")
        .with_description("Connections turned away, by why")
        .build()
});

/// Serves until the service has drained: it is unready already; after `pre_stop`, when nobody
/// should send it anything new, connections are told good-bye; calls have the drain's time to end;
/// then they are ended with UNAVAILABLE, and connections that still do not go are cut.
pub(super) async fn run(listener: TcpListener, stack: Arc<Stack>, service: Service, hold: Hold) {
    let connections = &stack.connections;
    let cut = CancellationToken::new();
    let draining = service.draining();
    let until = async {
        draining.cancelled().await;
        sleep(service.pre_stop()).await;
    };
    tokio::select! {
        () = accept(&listener, &stack, &cut) => {}
        () = until => {}
    }
    for (stream, remote) in leftovers(listener) {
        begin(stream, remote, &stack, &cut);
    }
    stack.closing.cancel();
    connections.close();
    if timeout(service.drain_limit(), connections.wait()).await.is_err() {
        let (left, calls) = (connections.len(), stack.gate.in_flight());
        tracing::warn!(service = service.name(), connections = left, calls, "calls cut");
        stack.gate.close();
        stack.stop.cancel();
        if timeout(CUT_LIMIT, connections.wait()).await.is_err() {
            cut.cancel();
            connections.wait().await;
        }
    }
    let _ = timeout(SHIELD_LIMIT, shield::idle()).await;
    drop(hold);
}

async fn accept(listener: &TcpListener, stack: &Arc<Stack>, cut: &CancellationToken) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => begin(stream, remote, stack, cut),
            Err(error) => {
                tracing::warn!(service = stack.name, %error, "connection not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Closes the listener and returns the connections that it still had: their callers believe that
/// they are connected, and have sent calls.
fn leftovers(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let mut streams = Vec::new();
    // Asked of the system, because tokio learns of new connections only when it polls for events.
    if let Ok(listener) = listener.into_std() {
        while let Ok((stream, remote)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            streams.extend(stream.map(|stream| (stream, remote)));
        }
    }
    streams
}

fn begin(stream: TcpStream, remote: SocketAddr, stack: &Arc<Stack>, cut: &CancellationToken) {
    if stack.connections.len() >= stack.values.borrow().connections {
        // Closed by being dropped: a word to each would be more work for somebody who has too much.
        stack.turned_away.fetch_add(1, Ordering::Relaxed);
        return refused("too_many");
    }
    let (server, cut) = (Arc::clone(stack), cut.clone());
    stack.connections.spawn(async move {
        cut.run_until_cancelled(serve(stream, remote, server)).await;
    });
}

async fn serve(stream: TcpStream, remote: SocketAddr, stack: Arc<Stack>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay not set");
    }
    let (socket, rest) = Socket::new(stream);
    let Some((io, accepted)) = greet(socket, remote, &stack).await else {
        return;
    };
    let connection = Connection::new(accepted.0, stack.stop.child_token());
    let life = Life::new(&stack.values.borrow(), stack.jitter(), accepted.1);
    let turn = Arc::clone(&connection.turn);
    turn.run(connection::converse(io, stack, connection, life)).await;
    rest.linger().await;
}

type Peer = (http::Extensions, Option<tokio::time::Instant>);

/// Shakes hands and waits for HTTP/2 to begin.
async fn greet(socket: Socket, remote: SocketAddr, stack: &Stack) -> Option<(Greeted, Peer)> {
    let greeting = async {
        let Accepted { io, extensions, ends } = stack.acceptor.accept(socket, remote).await?;
        io::Result::Ok((Greeted::greet(io).await?, (extensions, ends)))
    };
    let mut greeting = std::pin::pin!(timeout(PREFACE_LIMIT, greeting));
    let greeted = match stack.closing.run_until_cancelled(greeting.as_mut()).await {
        Some(greeted) => greeted,
        None => timeout(LAST_WORD, greeting).await.unwrap_or_else(Err),
    };
    match greeted {
        Ok(Ok(greeted)) => Some(greeted),
        Ok(Err(error)) => {
            tracing::debug!(%error, %remote, "no HTTP/2 connection");
            refused("no_greeting");
            None
        }
        Err(_) => {
            refused("silent");
            None
        }
    }
}

fn refused(why: &'static str) {
    REFUSED.add(1, &[KeyValue::new("why", why)]);
}
