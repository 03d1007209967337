//! Connections, of HTTP/1.1 and of HTTP/2, with TLS or without it: accepted, served, told good-bye, and cut if
//! they do not go.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{Request, Version};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use mesh_rpc::turn::Turn;
use mesh_runtime::Hold;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    door::{self, Front},
    edge::Way,
    greeting::{Greeting, Heard},
};

/// More connections than this are closed at once.
const MAX_CONNECTIONS: usize = 10_000;
/// Pause after an error that is not one connection's, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may be silent until it is asked whether it is there, and may then take.
const PING: Duration = Duration::from_secs(20);
const PING_LIMIT: Duration = Duration::from_secs(10);
const MAX_STREAMS: u32 = 256;
/// Calls that one connection may give up before they were looked at (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 256;
/// What is read of a request's headers at all; the limit that is told is the configuration's.
const MAX_HEADERS: u32 = 64 << 10;
const MAX_HEADER_LINES: usize = 512;

/// Serves until the service has drained.
pub(crate) async fn run(listener: TcpListener, front: Arc<Front>, hold: Hold) {
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let service = front.service.clone();
    let until = async {
        service.draining().cancelled().await;
        sleep(service.pre_stop()).await;
    };
    tokio::select! {
        () = accept(&listener, &front, &connections, &cut) => {}
        () = until => {}
    }
    drop(listener);
    front.closing.cancel();
    connections.close();
    if timeout(service.drain_limit(), connections.wait()).await.is_err() {
        tracing::warn!(service = service.name(), connections = connections.len(), "requests cut");
        cut.cancel();
        connections.wait().await;
    }
    drop(hold);
}

async fn accept(
    listener: &TcpListener,
    front: &Arc<Front>,
    connections: &TaskTracker,
    cut: &CancellationToken,
) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) if connections.len() < MAX_CONNECTIONS => {
                let (front, cut) = (Arc::clone(front), cut.clone());
                connections.spawn(async move {
                    cut.run_until_cancelled(serve(stream, remote, front)).await;
                });
            }
            Ok(_) => tracing::warn!(service = front.service.name(), "too many connections"),
            Err(error) => {
                tracing::warn!(service = front.service.name(), %error, "connection not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, remote: SocketAddr, front: Arc<Front>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay not set");
    }
    let closing = front.closing.clone();
    let word =
        closing.run_until_cancelled(timeout(front.config.head_limit(), stream.readable())).await;
    if !matches!(word, Some(Ok(Ok(())))) {
        return;
    }
    let Some(tls) = front.edge.tls.clone() else {
        let way = Way { peer: remote, is_secure: false };
        return speak(stream, way, front).await;
    };
    match closing.run_until_cancelled(tls.accept(stream)).await {
        Some(Ok(stream)) => speak(stream, Way { peer: remote, is_secure: true }, front).await,
        Some(Err(error)) => tracing::debug!(%error, %remote, "no handshake"),
        None => {}
    }
}

/// Speaks HTTP on a connection, until it ends or is told good-bye.
async fn speak<IO>(stream: IO, way: Way, front: Arc<Front>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (closing, remote, limit) = (front.closing.clone(), way.peer, front.config.head_limit());
    let greeting = Arc::<Greeting>::default();
    let (stream, greeted) = (Heard::new(stream, &greeting), Arc::clone(&greeting));
    let turn = Arc::<Turn>::default();
    let said = Arc::clone(&turn);
    let answer = service_fn(move |request: Request<Incoming>| {
        let (front, turn) = (Arc::clone(&front), Arc::clone(&said));
        greeted.is_said();
        async move {
            // Only these are answered beside each other.
            let is_one_of_many = request.version() == Version::HTTP_2;
            let response = door::answer(front, way, request).await;
            if is_one_of_many {
                turn.say();
            }
            response
        }
    });
    let http = http(limit);
    let conversation = async {
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = greeting.missed(limit) => Ok(()),
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = turn.run(conversation).await {
        // The client's affair: it vanished, or breaks the protocol.
        tracing::debug!(%error, %remote, "connection ended");
    }
}

/// Both versions. Of HTTP/2 a head that does not end is found by a ping, which cannot be answered before.
fn http(limit: Duration) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limit)
        .max_buf_size(128 << 10)
        .max_headers(MAX_HEADER_LINES);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.min(limit))
        .keep_alive_timeout(PING_LIMIT.min(limit))
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_header_list_size(MAX_HEADERS);
    http
}
