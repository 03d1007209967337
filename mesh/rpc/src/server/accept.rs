//! Connections: accepted, served, told good-bye, and cut if they do not go.

use std::{pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mesh_runtime::{Hold, Service};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Stack, call, socket::Socket};

/// A connection that says nothing for this long is no client.
const PREFACE_LIMIT: Duration = Duration::from_secs(10);
/// Time that one which was made just before the end has to say something.
const LAST_WORD: Duration = Duration::from_millis(250);
/// Pause after an error that is not one connection's, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_LIMIT: Duration = Duration::from_secs(20);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const MAX_STREAMS: u32 = 1024;
/// Calls that one connection may give up before they were looked at. The default of 20 would take
/// a burst of expired deadlines for an attack.
const MAX_PENDING_RESETS: usize = 1024;
const MAX_HEADERS: u32 = 32 << 10;

/// Serves until the service has drained.
pub(super) async fn run(listener: TcpListener, stack: Arc<Stack>, service: Service, hold: Hold) {
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let draining = service.draining();
    let until = async {
        draining.cancelled().await;
        sleep(service.pre_stop()).await;
    };
    tokio::select! {
        () = accept(&listener, &stack, &connections, &cut) => {}
        () = until => {}
    }
    for stream in leftovers(listener) {
        begin(stream, &stack, &connections, &cut);
    }
    stack.closing.cancel();
    connections.close();
    if timeout(service.drain_limit(), connections.wait()).await.is_err() {
        let left = connections.len();
        tracing::warn!(service = service.name(), connections = left, "connections cut");
        cut.cancel();
        connections.wait().await;
    }
    drop(hold);
}

async fn accept(
    listener: &TcpListener,
    stack: &Arc<Stack>,
    connections: &TaskTracker,
    cut: &CancellationToken,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => begin(stream, stack, connections, cut),
            Err(error) => {
                tracing::warn!(service = stack.name, %error, "connection not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Closes the listener and returns the connections that it still had: their callers believe that
/// they are connected, and have sent calls.
fn leftovers(listener: TcpListener) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    // Asked of the system, because tokio learns of new connections only when it polls for events.
    if let Ok(listener) = listener.into_std() {
        while let Ok((stream, _)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            streams.extend(stream);
        }
    }
    streams
}

fn begin(
    stream: TcpStream,
    stack: &Arc<Stack>,
    connections: &TaskTracker,
    cut: &CancellationToken,
) {
    let (stack, cut) = (Arc::clone(stack), cut.clone());
    connections.spawn(async move {
        cut.run_until_cancelled(serve(stream, stack)).await;
    });
}

async fn serve(stream: TcpStream, stack: Arc<Stack>) {
    // A connection without a word would hold up the drain: HTTP/2 cannot say good-bye to it yet.
    if !speaks(&stream, &stack.closing).await {
        return;
    }
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay not set");
    }
    let (socket, rest) = Socket::new(stream);
    converse(socket, stack).await;
    rest.linger().await;
}

/// Answers calls until the peer leaves, or was told good-bye and has had its answers.
async fn converse(socket: Socket, stack: Arc<Stack>) {
    let closing = stack.closing.clone();
    let answer = service_fn(move |request| call::answer(Arc::clone(&stack), request));
    let mut connection = pin!(http().serve_connection(TokioIo::new(socket), answer));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The peer's affair: it vanished, or is no HTTP/2 client.
        tracing::debug!(%error, "connection ended");
    }
}

/// Waits for the first byte.
async fn speaks(stream: &TcpStream, closing: &CancellationToken) -> bool {
    let mut first = [0];
    let mut word = pin!(timeout(PREFACE_LIMIT, stream.peek(&mut first)));
    let word = match closing.run_until_cancelled(word.as_mut()).await {
        Some(word) => word,
        None => timeout(LAST_WORD, word).await.unwrap_or_else(Err),
    };
    matches!(word, Ok(Ok(1..)))
}

fn http() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_header_list_size(MAX_HEADERS);
    http
}
