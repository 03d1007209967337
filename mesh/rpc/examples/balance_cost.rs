//! Prints what the balancer itself costs a call: a pick, and the record of its answer.
//!
//! `cargo run --release -p mesh-rpc --example balance_cost`

use std::{convert::Infallible, net::SocketAddr, time::Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_policy::values;
use mesh_rpc::{
    Code,
    balance::{Balancer, State, Tcp, Tried},
};
use tokio::net::TcpListener;

const CALLS: u32 = 200_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:>9} {:>7} {:>16}", "endpoints", "callers", "ns per call");
    for (endpoints, callers) in [(1, 1), (3, 1), (16, 1), (256, 1), (3, 2)] {
        let mut addresses = Vec::new();
        for _ in 0..endpoints {
            addresses.push(endpoint().await?);
        }
        let balancer = Balancer::new("cost", addresses, values::Target::default(), Tcp);
        while balancer.table().iter().any(|row| row.state != State::Ready) {
            tokio::task::yield_now().await;
        }
        let begin = Instant::now();
        let callers: Vec<_> = (0..callers).map(|_| tokio::spawn(call(balancer.clone()))).collect();
        let count = callers.len();
        for caller in callers {
            caller.await??;
        }
        let each = begin.elapsed().as_nanos() / u128::from(CALLS);
        println!("{endpoints:>9} {count:>7} {each:>16}");
    }
    Ok(())
}

async fn call(balancer: Balancer) -> Result<(), tonic::Status> {
    for _ in 0..CALLS {
        balancer.pick(&Tried::default(), None).await?.conclude(Code::Ok);
    }
    Ok(())
}

/// Starts something that can be connected to.
async fn endpoint() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let http = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    Ok(address)
}

async fn answer(_: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(Response::new(Empty::new()))
}
