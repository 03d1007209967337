//! Peers that mean no good, or know no better.

use std::time::Duration;

use futures::future::poll_fn;
use mesh_echo::{Echo, EchoServiceClient, v1::ReadRequest};
use mesh_policy::values;
use mesh_rpc::{Channel, Code, reason, timeout_request};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tonic::Request;

use crate::support::{Callee, MS, PATIENCE, Stack, eventually, read};

fn client(callee: &Callee) -> EchoServiceClient<Channel> {
    Stack::new("hostile", &[callee.address]).client()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// HEADERS of stream 1, 16,000 bytes long, of which the end does not come while the test lasts.
const HEADERS: [u8; 9] = [0, 0x3e, 0x80, 1, 4, 0, 0, 0, 1];

#[tokio::test]
async fn headers_that_never_finish_are_found_by_pings_and_others_do_not_notice() {
    let values =
        values::Server { ping: 200 * MS, ping_limit: 200 * MS, ..values::Server::default() };
    let callee = Callee::set(Echo::default(), values).await;
    let mut loris = TcpStream::connect(callee.address).await.unwrap();
    for part in [PREFACE, &SETTINGS, &HEADERS] {
        loris.write_all(part).await.unwrap();
    }
    let mut client = client(&callee);
    client.read(read("1")).await.unwrap();
    eventually("both are there", || callee.in_flight("connections") == 2).await;

    // A byte now and then: it is not silent, only endless.
    let (mut reader, mut writer) = loris.into_split();
    let trickle = async {
        while writer.write_all(&[0]).await.is_ok() {
            sleep(20 * MS).await;
        }
    };
    let closed = async { while let Ok(1..) = reader.read(&mut [0; 64]).await {} };
    timeout(PATIENCE, async {
        tokio::select! { () = trickle => {}, () = closed => {} }
    })
    .await
    .expect("it is cut");

    client.read(read("1")).await.unwrap();
    callee.stop().await;
}

#[tokio::test]
async fn a_connection_that_does_not_begin_to_speak_http2_is_closed() {
    let callee = Callee::start(Echo::default()).await;
    let mut slow = TcpStream::connect(callee.address).await.unwrap();
    slow.write_all(&PREFACE[..20]).await.unwrap();
    let mut other = TcpStream::connect(callee.address).await.unwrap();
    other.write_all(b"GET / HTTP/1.1\r\nhost: callee\r\n\r\n").await.unwrap();

    let at_once = timeout(Duration::from_secs(5), other.read(&mut [0; 64])).await;
    assert!(matches!(at_once, Ok(Ok(0) | Err(_))), "{at_once:?}");
    let later = timeout(PATIENCE, slow.read(&mut [0; 64])).await;
    assert!(matches!(later, Ok(Ok(0) | Err(_))), "{later:?}");
    callee.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_opens_calls_and_resets_them_at_once_is_cut_and_others_do_not_notice() {
    let callee = Callee::start(Echo::default()).await;

    let resets = flood(&callee, false).await;

    assert!((1..100_000).contains(&resets), "{resets}");
    client(&callee).read(read("1")).await.unwrap();
    callee.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_resets_calls_that_are_worked_on_is_cut_and_nothing_is_left_of_them() {
    let echo = Echo::new(|asked| async move {
        if asked.text.is_empty() { std::future::pending().await } else { Ok(asked.text) }
    });
    let callee = Callee::start(echo).await;
    let mut client = client(&callee);
    client.read(read("1")).await.unwrap();

    let resets = flood(&callee, true).await;

    assert!((2_000..10_000).contains(&resets), "{resets}");
    client.read(timeout_request(read("1"), PATIENCE)).await.unwrap();
    eventually("no handler runs", || callee.echo.running() == 0 && callee.in_flight("shed") == 0)
        .await;
    callee.stop().await;
}

/// Opens 64 calls and resets them, at once or when they are worked on, until the server has had
/// enough. Returns how many that were.
async fn flood(callee: &Callee, worked_on: bool) -> usize {
    const BATCH: usize = 64;
    let stream = TcpStream::connect(callee.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut resets = 0;
    while poll_fn(|cx| sender.poll_ready(cx)).await.is_ok() {
        assert!(resets < 1_000_000, "the server takes whatever comes");
        let mut streams = Vec::new();
        while streams.len() < BATCH
            && let Ok(stream) = open(&mut sender)
        {
            streams.push(stream);
        }
        if worked_on {
            let ended = || connection.is_finished();
            eventually("they are worked on", || ended() || callee.echo.running() >= streams.len())
                .await;
        }
        resets += streams.len();
        for (_, stream) in &mut streams {
            stream.send_reset(h2::Reason::CANCEL);
        }
        tokio::task::yield_now().await;
        if worked_on {
            eventually("they are given up", || callee.echo.running() == 0).await;
        }
    }
    timeout(PATIENCE, connection).await.expect("the server has closed it").unwrap().err();
    resets
}

type Opened = (h2::client::ResponseFuture, h2::SendStream<bytes::Bytes>);

fn open(sender: &mut h2::client::SendRequest<bytes::Bytes>) -> Result<Opened, h2::Error> {
    let request = http::Request::post("http://callee/echo.v1.EchoService/Read")
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (response, mut stream) = sender.send_request(request, false)?;
    stream.send_data(bytes::Bytes::from_static(&[0; 5]), true)?;
    Ok((response, stream))
}

#[tokio::test]
async fn huge_metadata_is_refused_clearly_and_the_connection_goes_on() {
    let callee = Callee::start(Echo::default()).await;
    let mut client = client(&callee);

    let large = client.read(with_header(40 << 10)).await.unwrap_err();
    let huge = client.read(with_header(140 << 10)).await.unwrap_err();

    assert_eq!(large.code(), Code::ResourceExhausted, "{large:?}");
    assert_eq!(reason(&large).as_deref(), Some("METADATA_TOO_LARGE"));
    assert!(huge.message().contains("431"), "{huge:?}");
    client.read(with_header(8 << 10)).await.unwrap();
    assert_eq!(callee.in_flight("connections"), 1, "the same connection");
    callee.stop().await;
}

#[tokio::test]
async fn metadata_without_end_costs_the_connection_and_others_do_not_notice() {
    let callee = Callee::start(Echo::default()).await;
    let (mut hostile, mut other) = (client(&callee), client(&callee));
    other.read(read("1")).await.unwrap();

    let status = hostile.read(with_header(1 << 20)).await.unwrap_err();

    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    other.read(read("1")).await.unwrap();
    drop(hostile);
    eventually("the other is left", || callee.in_flight("connections") == 1).await;
    callee.stop().await;
}

fn with_header(size: usize) -> Request<ReadRequest> {
    let mut request = Request::new(read("1"));
    request.metadata_mut().insert("x-huge", "x".repeat(size).parse().unwrap());
    request
}
