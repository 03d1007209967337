//! Mutual TLS through the server and channels to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use mesh_policy::values;
use mesh_rpc::{
    Code, Disposition, Identity, disposition, reason,
    tls::{Credentials, TlsFiles},
};
use tokio::{net::TcpStream, time::timeout};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    certificates::nobodys_channel,
    serving::{Caller, PATIENCE, Serving},
    support::{HOUR, Lab, metric, who},
};

const CALLERS: usize = 8;
const REPLACEMENTS: u64 = 10;

#[tokio::test]
async fn the_server_knows_who_calls_by_the_certificate() {
    let lab = Lab::new();
    let orders = Serving::start("orders", &lab.identity("orders")).await;
    let gateway = orders.caller(&lab.identity("gateway"), "orders");

    assert_eq!(gateway.who().await.unwrap(), "gateway by MutualTls");
    orders.stop().await;
}

#[tokio::test]
async fn without_a_certificate_a_call_is_refused_in_plain_words_and_health_is_answered() {
    let lab = Lab::new();
    let orders = Serving::start("orders", &lab.identity("orders")).await;
    let nobody = nobodys_channel(&lab, orders.address);

    let status = who(&nobody).await.unwrap_err();
    let health = HealthClient::new(nobody).check(HealthCheckRequest::default()).await;

    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("showed no certificate"), "{status}");
    assert_eq!(reason(&status).as_deref(), Some("CERTIFICATE_MISSING"));
    assert_eq!(orders.seen.handled.load(Ordering::Relaxed), 0);
    assert!(health.is_ok(), "{health:?}");
    orders.stop().await;
}

#[tokio::test]
async fn a_foreign_and_an_expired_certificate_end_the_handshake_and_the_caller_hears_why() {
    let lab = Lab::new();
    let orders = Serving::start("strict", &lab.identity("orders")).await;
    let stranger = Lab::new();
    let foreign = TlsFiles { trust: lab.authority.trust(), ..stranger.files("gateway") };
    let foreign = Identity::from(Credentials::read(foreign).unwrap());
    let expired = Identity::from(lab.expired("gateway"));

    for (identity, alert) in [(foreign, "unknown_ca"), (expired, "certificate_expired")] {
        refused(&orders.caller(&identity, "orders"), alert).await;
        let result = format!("result=\"{alert}\"");
        let labels = ["side=\"server\"", "service=\"strict\"", &result];
        assert!(metric("mesh_tls_handshakes_total", &labels) >= 1.0, "the server counts it");
    }
    assert_eq!(orders.seen.handled.load(Ordering::Relaxed), 0);
    orders.stop().await;
}

#[tokio::test]
async fn plaintext_is_refused_and_the_caller_hears_why() {
    let lab = Lab::new();
    let orders = Serving::start("orders", &lab.identity("orders")).await;

    refused(&orders.caller(&Identity::default(), "orders"), "the server takes TLS only").await;

    assert_eq!(orders.seen.handled.load(Ordering::Relaxed), 0);
    orders.stop().await;
}

#[tokio::test]
async fn a_connection_is_told_good_bye_before_its_certificate_ends() {
    let lab = Lab::new();
    let ends = SystemTime::now() + Duration::from_secs(10);
    let files = lab.reissue("gateway", ends);
    let grace = Duration::from_secs(8);
    let values = values::Server { age_grace: grace, max_age: HOUR, ..values::Server::default() };
    let orders = Serving::with("orders", &lab.identity("orders"), values).await;
    let gateway = Credentials::read(files).unwrap();
    let stream = TcpStream::connect(orders.address).await.unwrap();
    let tls = gateway.client();
    let stream = tls.connect(&tls.id("orders").unwrap(), stream).await.unwrap();
    let session = Arc::clone(stream.session());

    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (_sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, tonic::body::Body>(executor, io)
            .await
            .unwrap();
    timeout(PATIENCE, connection).await.expect("it ends").unwrap();

    let left = session.remaining();
    assert!(left > Duration::ZERO && left <= grace, "it ends with {left:?} left");
    orders.stop().await;
}

#[tokio::test]
async fn each_caller_has_a_rate_of_its_own() {
    let lab = Lab::new();
    let rate = values::Rate { per_second: 0.001, burst: 2 };
    let values = values::Server { peer_rate: Some(rate), ..values::Server::default() };
    let orders = Serving::with("orders", &lab.identity("orders"), values).await;
    let [gateway, payments] =
        ["gateway", "payments"].map(|service| orders.caller(&lab.identity(service), "orders"));
    let again = orders.caller(&lab.identity("gateway"), "orders");

    gateway.who().await.unwrap();
    gateway.who().await.unwrap();
    let refused = again.who().await.unwrap_err();

    assert_eq!(reason(&refused).as_deref(), Some("RATE_LIMITED"));
    assert_eq!(payments.who().await.unwrap(), "payments by MutualTls");
    orders.stop().await;
}

/// A server says who it accepts before anybody speaks HTTP/2; else each connection would wait for a
/// second.
#[tokio::test]
async fn a_handshake_is_over_at_once() {
    let lab = Lab::new();
    let orders = Serving::start("orders", &lab.identity("orders")).await;
    let gateway = lab.credentials("gateway").client();
    let expected = gateway.id("orders").unwrap();

    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let stream = TcpStream::connect(orders.address).await.unwrap();
        let begin = Instant::now();
        drop(gateway.connect(&expected, stream).await.unwrap());
        fastest = fastest.min(begin.elapsed());
    }

    assert!(fastest < Duration::from_millis(900), "{fastest:?}");
    orders.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_while_calls_run_and_none_is_lost() {
    let lab = Lab::new();
    let credentials = ["orders", "gateway"].map(|service| lab.credentials(service));
    let [orders, gateway] = credentials.clone().map(Identity::from);
    let age = Duration::from_millis(50);
    let values = values::Server { max_age: age, ..values::Server::default() };
    let server = Serving::with("rotating", &orders, values).await;
    let load = Arc::new(Load::default());
    let caller = server.caller(&gateway, "orders");
    let callers: Vec<_> =
        (0..CALLERS).map(|_| tokio::spawn(Arc::clone(&load).call(caller.clone()))).collect();

    let labels = ["side=\"server\"", "service=\"rotating\"", "result=\"ok\""];
    let handshakes = || metric("mesh_tls_handshakes_total", &labels);
    for replacement in 1..=REPLACEMENTS {
        let ends = SystemTime::now() + HOUR + Duration::from_secs(60 * replacement);
        for (service, credentials) in ["orders", "gateway"].into_iter().zip(&credentials) {
            lab.reissue(service, ends);
            assert!(credentials.reload().unwrap());
        }
        let before = handshakes();
        let made = async {
            while handshakes() < before + 2.0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, made).await.expect("connections are made with the new ones");
    }
    load.over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }

    let answered = load.answered.load(Ordering::Relaxed);
    assert!(answered > CALLERS);
    assert_eq!(server.seen.handled.load(Ordering::Relaxed), answered, "none is handled twice");
    server.stop().await;
}

/// Asserts that calls are refused for a reason that says `words`.
async fn refused(caller: &Caller, words: &str) {
    // Again and again: no call may slip through, or lose the reason.
    for _ in 0..5 {
        let status = caller.who().await.unwrap_err();

        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert!(status.message().contains(words), "{status}");
        assert_ne!(disposition(&status), Disposition::MaybeProcessed);
    }
}

/// Calls, one after the other.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answered: AtomicUsize,
}

impl Load {
    async fn call(self: Arc<Self>, caller: Caller) {
        while !self.over.load(Ordering::Relaxed) {
            assert_eq!(caller.who().await.unwrap(), "gateway by MutualTls");
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}
