//! `up --mtls`: everything that runs has a certificate, and the servers take nothing else.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;

use crate::shop::Shop;

/// Who is called by services; the gateway is called by customers.
const SERVICES: [&str; 7] =
    ["catalog", "inventory", "orders", "payments", "processor", "shipping", "users"];
/// What an HTTP/2 client says first (RFC 9113 §3.4), with an empty SETTINGS frame.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn orders_go_through_by_mutual_tls_and_every_port_between_services_refuses_plaintext() {
    let shop = Shop::clean("mtls");

    let up = shop.succeeds(&["up", "--detach", "--mtls", "--in-process"]);

    let state = shop.state();
    let url = |pointer: &str| state.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    assert!(url("/services/orders/0/database_url").contains("?sslmode=verify-full"));
    assert!(url("/nats/url").starts_with("tls://"));
    let said = String::from_utf8(up.stdout).unwrap();
    assert!(said.contains("meshctl/cert.pem -key"), "it says what grpcurl needs: {said}");
    shop.succeeds(&["demo", "--orders", "5"]);
    shop.succeeds(&["sagas"]);
    let order = shop.logged_order();
    shop.eventually("its trace to be kept, by the service that did what", || {
        let trace = shop.run(&["trace", &order, "--json"]);
        let trace: Value = serde_json::from_slice(&trace.stdout).ok()?;
        let did =
            |service: &str| trace["spans"].as_array().unwrap().iter().any(|it| it["by"] == service);
        (did("payments") && did("processor") && did("inventory")).then_some(())
    });
    shop.succeeds(&["audit", "--wait", "30s"]);
    for service in ["orders", "catalog", "meshctl"] {
        let key = shop.home.path(&format!("identity/{service}/key.pem"));
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600, "{service}");
    }
    for service in SERVICES {
        takes_tls_only(&url(&format!("/services/{service}/0/grpc")), service);
    }
    called_by_tls(&state);
    // The door's own port is the customers'; behind it everything is TLS.
    let products = get(&url("/services/gateway/0/http"), "/v1/products?page_size=1");
    assert!(products.contains("\"products\":["), "{products}");
}

/// Asserts that a port answers plaintext with HTTP/2's INADEQUATE_SECURITY, in words.
fn takes_tls_only(address: &str, service: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(HELLO).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.ends_with("this port takes TLS only"), "{service}: {answer:?}");
}

/// Asserts that every service was called by TLS, and the services that call others did so.
fn called_by_tls(state: &Value) {
    // All of them share one process.
    let admin = state.pointer("/services/orders/0/admin").unwrap().as_str().unwrap();
    let metrics = get(admin, "/metrics");
    let handshakes = |labels: &[&str]| {
        let mut lines =
            metrics.lines().filter(|line| line.starts_with("mesh_tls_handshakes_total"));
        lines.any(|line| labels.iter().all(|label| line.contains(label)))
    };
    for service in SERVICES {
        let label = format!("service=\"{service}\"");
        assert!(handshakes(&["side=\"server\"", &label, "result=\"ok\""]), "{service}: {metrics}");
    }
    for target in ["catalog", "inventory", "payments", "processor", "shipping"] {
        let label = format!("mesh_target=\"{target}\"");
        assert!(handshakes(&["side=\"client\"", &label, "result=\"ok\""]), "{target}: {metrics}");
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: meshctl\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
