//! What strangers send that means no good, or knows no better: it is refused, or its connection ends,
//! and whoever comes next is answered.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{future::poll_fn, stream};
use http::{Request, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_testkit::{eventually, patience};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{Gateway, MUG, Shop};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// HEADERS of stream 1, 16,000 bytes long, of which the end does not come.
const HEADERS: [u8; 9] = [0, 0x3e, 0x80, 1, 4, 0, 0, 0, 1];
/// A frame of gRPC that says that ten bytes follow.
const CUT: [u8; 7] = [0, 0, 0, 0, 10, 1, 2];
const GET: &str = "/shop.catalog.v1.CatalogService/GetProduct";
/// How much larger the process may be afterwards; it was offered three times as much.
const MOST: u64 = 96 << 20;
const PIECE: usize = 64 << 10;
/// 100 MB of them.
const PIECES: usize = 1_600;

type Body = BoxBody<Bytes, hyper::Error>;

/// What is sent as it is, and how the answer begins; nothing, if the connection just ends.
fn raw() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let get = |target: &[u8], header: &[u8]| {
        let line = b" HTTP/1.1\r\nhost: gateway.test\r\nconnection: close\r\n";
        [&b"GET "[..], target, line, header, b"\r\n\r\n"].concat()
    };
    let announce = |length: usize| {
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nhost: gateway.test\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        head.into_bytes()
    };
    let post = |body: &[u8]| [&announce(body.len()), body].concat();
    let deep = ["[".repeat(1_000_000), "{\"a\":".repeat(200_000)];
    let product = format!("/v1/products/{MUG}");
    vec![
        ("a million arrays", post(deep[0].as_bytes()), "HTTP/1.1 400"),
        ("as many objects as fit", post(deep[1].as_bytes()), "HTTP/1.1 400"),
        ("a body that is no UTF-8", post(b"{\"customerId\": \"\xff\xfe\"}"), "HTTP/1.1 400"),
        ("100 MB announced", announce(100 << 20), "HTTP/1.1 413"),
        ("a path that is no UTF-8", get(b"/v1/products/%ff%fe", b"a: b"), "HTTP/1.1 400"),
        ("a query that is no UTF-8", get(b"/v1/products?page_token=%ff", b"a: b"), "HTTP/1.1 400"),
        (
            "a key that is no UTF-8",
            get(product.as_bytes(), b"idempotency-key: \xff\xfe"),
            "HTTP/1.1 400",
        ),
        ("an id that is no UTF-8", get(product.as_bytes(), b"x-request-id: \xff"), "HTTP/1.1 200"),
        ("random bytes", random(), ""),
        ("random bytes as HTTP/2", [PREFACE, &random()].concat(), ""),
    ]
}

/// The same each time; the first is no letter.
fn random() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    [vec![0xff], (0..4_096).flat_map(next).collect()].concat()
}

/// Asserts that somebody else is answered.
async fn others_are_answered(gateway: &Gateway, after: &str) {
    let answer = timeout(patience(), gateway.get(&format!("/v1/products/{MUG}"))).await;
    assert_eq!(answer.expect(after).status, 200, "after {after}");
}

/// Sends bytes, and returns how the answer begins, when the connection has ended.
async fn send(at: SocketAddr, bytes: &[u8]) -> String {
    let (mut reader, mut writer) = TcpStream::connect(at).await.unwrap().into_split();
    let mut answer = Vec::new();
    let talk = async {
        let said = async {
            // It may be refused before it has been said.
            let _ = writer.write_all(bytes).await;
        };
        let heard = async {
            let mut some = [0; 1024];
            while let Ok(n @ 1..) = reader.read(&mut some).await {
                answer.extend_from_slice(&some[..n]);
            }
        };
        tokio::join!(said, heard)
    };
    timeout(patience(), talk).await.expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_strangers_send_is_refused_and_the_next_one_is_answered() {
    let shop = Shop::open_with(|config| config.max_head_seconds = 1).await;
    let gateway = &shop.gateway;
    others_are_answered(gateway, "nothing").await;
    let before = resident();

    for (what, bytes, answer) in raw() {
        let said = send(gateway.at, &bytes).await;
        assert!(said.starts_with(answer), "{what}: {said}");
        others_are_answered(gateway, what).await;
    }
    for (what, kind) in [("JSON", "application/json"), ("gRPC-Web", "application/grpc-web")] {
        endless(gateway, what, kind).await;
        others_are_answered(gateway, what).await;
    }
    for kind in ["application/grpc", "application/grpc-web"] {
        cut(gateway, kind).await;
        others_are_answered(gateway, kind).await;
    }
    let (endless, loris) = (vec![b'a'; 10_000], [PREFACE, &SETTINGS, &HEADERS].concat());
    for (what, begin, more) in [
        ("a head of HTTP/1.1 without end", &b"GET / HTTP/1.1\r\nx-long: "[..], &endless[..]),
        ("a first line without end", b"GET /", &endless),
        ("half a preface of HTTP/2", &PREFACE[..12], &PREFACE[12..22]),
        ("a preface and nothing else", PREFACE, b""),
        ("a head of HTTP/2 without end", &loris, &endless),
    ] {
        slow(gateway.at, what, begin, more).await;
        others_are_answered(gateway, what).await;
    }
    let resets = flood(gateway.at).await;
    assert!((1..100_000).contains(&resets), "{resets}");
    others_are_answered(gateway, "resets").await;

    let grown = resident().saturating_sub(before);
    assert!(grown < MOST, "{} MiB more", grown >> 20);
}

/// All but the last byte of the largest bodies, more of them than there is room for together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_do_not_end_take_no_more_room_than_there_is() {
    const ROOM: usize = 64;
    let everywhere = vec!["127.0.0.0/8".parse().unwrap()];
    let shop = Shop::open_with(|config| config.trusted_hops = everywhere).await;
    let gateway = &shop.gateway;
    let sender = h2(gateway.at).await;
    let mut answers = JoinSet::new();
    for n in 0..ROOM + 20 {
        // Nobody takes more than their own share of it.
        let request = orders_post().header("x-forwarded-for", format!("203.0.113.{n}"));
        let request = request.body(cut_short()).unwrap();
        let mut sender = sender.clone();
        answers.spawn(async move { sender.send_request(request).await });
    }

    for _ in 0..20 {
        let refused = timeout(patience(), answers.join_next()).await.expect("there is no room");
        let refused = refused.unwrap().unwrap().unwrap();
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], "1");
        let told = refused.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&told).contains("BODIES_TOO_LARGE"), "{told:?}");
    }
    others_are_answered(gateway, "so many bodies").await;
    assert!(
        futures::FutureExt::now_or_never(answers.join_next()).is_none(),
        "the others are waited for"
    );

    drop((answers, sender));
    let ordered = || gateway.tell(http::Method::POST, "/v1/orders", "{}");
    eventually("room for others", async || ordered().await.status != 503).await;
}

/// The same of one address, which fills its own share of the room: others are served, with bodies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_one_address_that_do_not_end_leave_room_for_others() {
    const SHARE: usize = 8;
    const MORE: usize = 5;
    let shop = Shop::open().await;
    let at = shop.gateway.at;
    let sender = h2(at).await;
    let mut answers = JoinSet::new();
    for _ in 0..SHARE + MORE {
        let request = orders_post().body(cut_short()).unwrap();
        let mut sender = sender.clone();
        answers.spawn(async move { sender.send_request(request).await });
    }

    for _ in 0..MORE {
        let refused = timeout(patience(), answers.join_next()).await.expect("the share is used up");
        let refused = refused.unwrap().unwrap().unwrap();
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "1");
        let told = refused.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&told).contains("CALLER_BODIES_TOO_LARGE"), "{told:?}");
    }
    let large = Full::new(Bytes::from([&vec![b' '; 1 << 19][..], b"{}"].concat()));
    let request = orders_post().body(large.map_err(|never| match never {}).boxed()).unwrap();
    let mut other = h2_from("127.0.0.2", at).await;
    let answer = timeout(patience(), other.send_request(request)).await.expect("an answer");
    let status = answer.unwrap().status();
    assert!(![429, 503].contains(&status.as_u16()), "{status}");
}

/// To where a body of JSON goes.
fn orders_post() -> http::request::Builder {
    post("/v1/orders", "application/json")
}

/// All but the last byte of the largest body there may be.
fn cut_short() -> Body {
    let cut = Bytes::from(vec![b' '; (1 << 20) - 1]);
    let begun = stream::iter([Ok::<_, hyper::Error>(Frame::data(cut))]);
    StreamBody::new(futures::StreamExt::chain(begun, stream::pending())).boxed()
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

async fn h2(at: SocketAddr) -> http2::SendRequest<Body> {
    h2_from("127.0.0.1", at).await
}

/// The same, from an address of this machine.
async fn h2_from(address: &str, at: SocketAddr) -> http2::SendRequest<Body> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
    let stream = socket.connect(at).await.unwrap();
    let (client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

fn post(target: &str, kind: &str) -> http::request::Builder {
    Request::post(format!("http://gateway.test{target}"))
        .header(header::CONTENT_TYPE, kind)
        .header(header::TE, "trailers")
}

/// 100 MB as a stream that does not say how long it is: refused at the limit, and not read on.
async fn endless(gateway: &Gateway, what: &str, kind: &str) {
    let taken = Arc::new(AtomicUsize::new(0));
    let taking = Arc::clone(&taken);
    let piece = Bytes::from(vec![b'['; PIECE]);
    let pieces = stream::iter((0..PIECES).map(move |_| {
        taking.fetch_add(1, SeqCst);
        Ok::<_, hyper::Error>(Frame::data(piece.clone()))
    }));
    let target = if kind == "application/json" { "/v1/orders" } else { GET };
    let request = post(target, kind).body(StreamBody::new(pieces).boxed()).unwrap();

    let answer = timeout(patience(), h2(gateway.at).await.send_request(request)).await;
    let answer = answer.expect(what).unwrap();
    if kind == "application/json" {
        assert_eq!(answer.status(), 413, "{what}");
    } else {
        assert_eq!(answer.status(), 200, "{what}");
        assert!(!is_well(answer).await, "{what}");
    }
    let taken = taken.load(SeqCst);
    assert!(taken < PIECES / 4, "{what}: {taken} pieces were taken");
}

/// A frame that breaks off.
async fn cut(gateway: &Gateway, kind: &str) {
    let body = Full::new(Bytes::from_static(&CUT)).map_err(|never| match never {}).boxed();
    let request = post(GET, kind).body(body).unwrap();
    let answer = timeout(patience(), h2(gateway.at).await.send_request(request)).await;
    let answer = answer.expect(kind).unwrap();
    assert_eq!(answer.status(), 200, "{kind}");
    assert!(!is_well(answer).await, "{kind}");
}

/// Whether the status that an answer of gRPC or gRPC-Web ends with is OK.
async fn is_well(answer: http::Response<hyper::body::Incoming>) -> bool {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let code = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status")).cloned();
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    match code {
        Some(code) => code == "0",
        None => text.split("grpc-status:").nth(1).expect("a status").trim().starts_with("0"),
    }
}

/// Begins to speak, and adds a byte now and then: it is not silent, only slow. Its connection is ended.
async fn slow(at: SocketAddr, what: &str, begin: &[u8], more: &[u8]) {
    let (mut reader, mut writer) = TcpStream::connect(at).await.unwrap().into_split();
    writer.write_all(begin).await.unwrap();
    let trickle = async {
        for byte in more {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        pending().await
    };
    let closed = async { while let Ok(1..) = reader.read(&mut [0; 1024]).await {} };
    let ended = timeout(patience(), async {
        tokio::select! { () = trickle => {}, () = closed => {} }
    });
    assert!(ended.await.is_ok(), "{what}: it is waited for");
}

/// Opens calls and resets them at once, until the gateway has had enough. Returns how many that were.
async fn flood(at: SocketAddr) -> usize {
    let stream = TcpStream::connect(at).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut resets = 0;
    while poll_fn(|cx| sender.poll_ready(cx)).await.is_ok() {
        assert!(resets < 1_000_000, "the gateway takes whatever comes");
        for _ in 0..64 {
            let request = post(GET, "application/grpc").body(()).unwrap();
            let Ok((_answer, mut body)) = sender.send_request(request, false) else { break };
            body.send_reset(h2::Reason::CANCEL);
            resets += 1;
        }
        tokio::task::yield_now().await;
    }
    eventually("the gateway to have closed it", async || connection.is_finished()).await;
    resets
}
