//! The network that fails on demand does what it says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use mesh_testkit::{Fault, TcpProxy, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Long enough to be no accident.
const SILENCE: Duration = Duration::from_millis(200);

struct Ends {
    proxy: TcpProxy,
    server: TcpListener,
}

impl Ends {
    async fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = TcpProxy::before(server.local_addr().unwrap()).await;
        Self { proxy, server }
    }

    async fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.address()).await.unwrap();
        (client, self.server.accept().await.unwrap().0)
    }
}

async fn hears(peer: &mut TcpStream, text: &str) -> bool {
    let mut heard = vec![0; text.len()];
    let read = timeout(Duration::from_secs(20), peer.read_exact(&mut heard)).await.unwrap();
    read.is_ok() && heard == text.as_bytes()
}

async fn hears_nothing(peer: &mut TcpStream) -> bool {
    timeout(SILENCE, peer.read(&mut [0; 1])).await.is_err()
}

async fn ends(peer: &mut TcpStream) -> bool {
    let read = timeout(Duration::from_secs(20), peer.read(&mut [0; 1])).await.unwrap();
    matches!(read, Ok(0) | Err(_))
}

#[tokio::test]
async fn without_a_fault_everything_passes_and_an_end_is_told() {
    let ends_ = Ends::new().await;
    let (mut client, mut peer) = ends_.connect().await;

    client.write_all(b"question").await.unwrap();
    assert!(hears(&mut peer, "question").await);
    client.shutdown().await.unwrap();
    assert!(ends(&mut peer).await, "the client has nothing more to say");
    peer.write_all(b"answer").await.unwrap();
    assert!(hears(&mut client, "answer").await, "and still hears");
    drop(peer);
    assert!(ends(&mut client).await);

    let hits = ends_.proxy.hits();
    assert_eq!((hits.connections, hits.delayed, hits.swallowed, hits.cut), (1, 0, 0, 0));
}

#[tokio::test]
async fn a_delay_holds_bytes_back_both_ways() {
    let ends = Ends::new().await;
    let (mut client, mut peer) = ends.connect().await;
    ends.proxy.set(Fault::Delay(SILENCE));

    let begun = Instant::now();
    client.write_all(b"question").await.unwrap();
    assert!(hears(&mut peer, "question").await);
    peer.write_all(b"answer").await.unwrap();
    assert!(hears(&mut client, "answer").await);

    assert!(begun.elapsed() >= 2 * SILENCE);
    assert_eq!(ends.proxy.hits().delayed, 2);
}

#[tokio::test]
async fn a_black_hole_says_nothing_and_nothing_is_lost_in_it() {
    let ends = Ends::new().await;
    let (mut client, mut peer) = ends.connect().await;
    ends.proxy.set(Fault::Blackhole);

    client.write_all(b"question").await.unwrap();
    peer.write_all(b"news").await.unwrap();
    let mut late = TcpStream::connect(ends.proxy.address()).await.unwrap();
    late.write_all(b"hello").await.unwrap();
    assert!(hears_nothing(&mut peer).await);
    assert!(hears_nothing(&mut client).await, "nor is it told that the peer is gone");
    assert!(timeout(SILENCE, ends.server.accept()).await.is_err(), "no connection passes");
    eventually("three to meet it", async || ends.proxy.hits().swallowed == 3).await;

    ends.proxy.set(Fault::None);
    assert!(hears(&mut peer, "question").await);
    assert!(hears(&mut client, "news").await);
    let (mut accepted, _) = ends.server.accept().await.unwrap();
    assert!(hears(&mut accepted, "hello").await);
}

#[tokio::test]
async fn a_cut_ends_connections_and_refuses_new_ones_until_it_is_mended() {
    let ends_ = Ends::new().await;
    let (mut client, mut peer) = ends_.connect().await;

    ends_.proxy.set(Fault::Cut);
    assert!(ends(&mut client).await);
    assert!(ends(&mut peer).await);
    let mut refused = TcpStream::connect(ends_.proxy.address()).await.unwrap();
    assert!(ends(&mut refused).await);
    assert_eq!(ends_.proxy.hits().cut, 2);

    ends_.proxy.set(Fault::None);
    let (mut client, mut peer) = ends_.connect().await;
    client.write_all(b"again").await.unwrap();
    assert!(hears(&mut peer, "again").await);
}

#[tokio::test]
async fn connections_wait_for_a_target_and_end_when_it_is_another() {
    let proxy = TcpProxy::start().await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"early").await.unwrap();

    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    proxy.lead_to(first.local_addr().unwrap());
    let (mut peer, _) = first.accept().await.unwrap();
    assert!(hears(&mut peer, "early").await);

    let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
    proxy.lead_to(second.local_addr().unwrap());
    assert!(ends(&mut client).await);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"late").await.unwrap();
    let (mut peer, _) = second.accept().await.unwrap();
    assert!(hears(&mut peer, "late").await);
}
