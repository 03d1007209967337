//! Prints what the way to HTTP/2 makes of unary calls: tonic's own channel, hyper's connection, and
//! the balancer, each with one connection to the same server.
//!
//! `cargo run --release -p mesh-rpc --example connection_cost`

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, Response, Uri, uri::Authority};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mesh_echo::{Echo, EchoServiceClient, EchoServiceServer, v1::ReadRequest};
use mesh_policy::values;
use mesh_rpc::balance::{Balancer, Tcp};
use tokio::net::{TcpListener, TcpStream};
use tonic::{
    body::Body,
    client::GrpcService,
    transport::{Channel, Server, server::TcpIncoming},
};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = server().await?;
    let tonic =
        EchoServiceClient::new(Channel::from_shared(format!("http://{address}"))?.connect_lazy());
    let hyper = EchoServiceClient::new(Hyper::connect(address).await?);
    let balancer = Balancer::new("echo", vec![address], values::Target::default(), Tcp);
    let balancer = EchoServiceClient::new(balancer);
    println!(
        "{:>7} {:>12} {:>12} {:>12}  calls/s, median of {ROUNDS}",
        "callers", "tonic", "hyper", "balancer"
    );
    for callers in [1, 64, 256] {
        let mut rounds = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            rounds[0].push(round(&tonic, callers).await?);
            rounds[1].push(round(&hyper, callers).await?);
            rounds[2].push(round(&balancer, callers).await?);
        }
        let [tonic, hyper, balancer] = rounds.map(|mut rounds| {
            rounds.sort_unstable();
            rounds[ROUNDS / 2]
        });
        println!("{callers:>7} {tonic:>12} {hyper:>12} {balancer:>12}");
    }
    Ok(())
}

/// Calls for a while from so many callers; returns the calls of a second.
async fn round<T>(client: &EchoServiceClient<T>, callers: usize) -> anyhow::Result<u64>
where
    T: GrpcService<Body> + Clone + Send + 'static,
    T::Future: Send,
    T::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    <T::ResponseBody as http_body::Body>::Error:
        Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let begin = Instant::now();
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let mut calls = 0;
                while begin.elapsed() < ROUND {
                    client.read(ReadRequest { text: "hello".to_owned() }).await?;
                    calls += 1;
                }
                Ok::<u64, tonic::Status>(calls)
            })
        })
        .collect();
    let mut calls = 0;
    for caller in callers {
        calls += caller.await??;
    }
    Ok((calls as f64 / begin.elapsed().as_secs_f64()) as u64)
}

async fn server() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Server::builder().add_service(EchoServiceServer::new(Echo::default()));
    tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))));
    Ok(address)
}

/// A connection of hyper's, and nothing else.
#[derive(Clone)]
struct Hyper {
    sender: http2::SendRequest<Body>,
    authority: Authority,
}

impl Hyper {
    async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, authority: address.to_string().parse()? })
    }
}

impl tower::Service<Request<Body>> for Hyper {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        *request.uri_mut() = Uri::from_parts(parts).expect("all three are there");
        Box::pin(self.sender.send_request(request))
    }
}
