//! What browsers are told, and what the configuration does with headers and paths.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use gateway::Owner;
use http::{Method, Request};
use mesh_testkit::Answer;
use serde_json::Value;

use crate::{
    support::{Folder, Gateway, Shop, detail},
    witness::Witness,
};

const SHOP: &str = "https://shop.example";

async fn ask(gateway: &Gateway, method: Method, headers: &[(&str, &str)]) -> Answer {
    let request = Request::builder().method(method).uri("/v1/products/MUG");
    let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
    gateway.send(request.body(Bytes::new()).unwrap()).await
}

#[tokio::test]
async fn pages_of_named_origins_may_ask_and_no_others() {
    let witness = Witness::begin().await;
    let gateway = Gateway::with(&[("catalog", witness.at)], |config| {
        config.cors_origins = vec![SHOP.parse().unwrap()];
        config.forward_metadata = vec!["x-channel".parse().unwrap()];
    })
    .await;
    let asks = ("access-control-request-method", "PUT");

    let may = ask(&gateway, Method::OPTIONS, &[("origin", SHOP), asks]).await;
    assert_eq!(may.status, 204);
    assert_eq!(may.header("access-control-allow-origin"), SHOP);
    assert!(may.header("access-control-allow-methods").contains("PUT"));
    for name in ["authorization", "idempotency-key", "x-grpc-web", "x-channel"] {
        assert!(may.header("access-control-allow-headers").contains(name), "{name}");
    }
    assert!(may.headers.get("access-control-allow-credentials").is_none());
    for other in ["https://shop.example.evil.test", "http://shop.example", "null"] {
        let may_not = ask(&gateway, Method::OPTIONS, &[("origin", other), asks]).await;
        assert_eq!(may_not.status, 403, "{other}");
        assert!(may_not.headers.get("access-control-allow-origin").is_none(), "{other}");
        let error = may_not.json().await;
        assert_eq!(detail(&error, "ErrorInfo")["reason"], "ORIGIN_UNKNOWN");
    }
    assert_eq!(witness.count(), 0);

    let read = ask(&gateway, Method::GET, &[("origin", SHOP)]).await;
    assert_eq!((read.status.as_u16(), read.header("vary")), (200, "origin"));
    assert_eq!(read.header("access-control-allow-origin"), SHOP);
    for name in ["etag", "x-request-id", "grpc-status-details-bin", "www-authenticate"] {
        assert!(read.header("access-control-expose-headers").contains(name), "{name}");
    }
    let other = ask(&gateway, Method::GET, &[("origin", "https://evil.test")]).await;
    assert!(other.headers.get("access-control-allow-origin").is_none());
    assert_eq!(other.header("vary"), "origin", "a cache must not give it to others");
}

#[tokio::test]
async fn without_an_origin_in_the_configuration_options_is_a_method_like_others() {
    let gateway = Gateway::before(&[]).await;
    let asks = [("origin", SHOP), ("access-control-request-method", "GET")];

    let answer = ask(&gateway, Method::OPTIONS, &asks).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET"));
    assert!(answer.headers.get("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn an_answer_says_where_its_time_went_and_how_careful_to_be_with_it() {
    let shop = Shop::open().await;

    let answer = shop.gateway.get("/v1/products?page_size=1").await;
    let timing = answer.header("server-timing");
    assert!(timing.starts_with("total;dur=") && timing.contains(", service;dur="), "{timing}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        assert_eq!(answer.header(name), value);
    }
    assert!(answer.headers.get("strict-transport-security").is_none(), "it came in plaintext");
    let refused = shop.gateway.get("/v1/nothing").await;
    assert!(!refused.header("server-timing").contains("service"), "no service was asked");
    assert_eq!(refused.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn what_is_large_is_compressed_for_who_reads_it() {
    let shop = Shop::open().await;
    let target = "/v1/products?page_size=50";
    let get = async |gateway: &Gateway, encoding: &str| {
        let request = Request::get(target).header("accept-encoding", encoding);
        gateway.send(request.body(Bytes::new()).unwrap()).await
    };
    let plain = get(&shop.gateway, "br").await;
    assert!(plain.headers.get("content-encoding").is_none());
    assert_eq!(plain.header("vary"), "accept-encoding");
    let plain = plain.bytes().await;

    let packed = get(&shop.gateway, "br, gzip").await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(packed.header("content-type"), "application/json");
    let packed = packed.bytes().await;
    assert!(packed.len() * 2 < plain.len(), "{} of {}", packed.len(), plain.len());
    let read: Value = serde_json::from_reader(GzDecoder::new(&packed[..])).unwrap();
    assert_eq!(read, serde_json::from_slice::<Value>(&plain).unwrap());

    let gateway = Gateway::with(&[], |config| config.edge = Owner::Ingress).await;
    let request = Request::get("/openapi.json").header("accept-encoding", "gzip");
    let left = gateway.send(request.body(Bytes::new()).unwrap()).await;
    assert!(left.headers.get("content-encoding").is_none(), "that is the ingress's affair");
    let mut none = Vec::new();
    assert!(GzDecoder::new(&left.bytes().await[..]).read_to_end(&mut none).is_err());
}

#[tokio::test]
async fn headers_and_paths_are_what_the_file_says() {
    let witness = Witness::begin().await;
    let folder = Folder::new();
    let file = folder.write(
        "edge.toml",
        r#"
[request]
remove = ["accept-language"]
rename = { x-key = "authorization" }
set = { x-channel = "web" }

[answer]
set = { x-served-by = "shop" }
remove = ["server-timing"]

[[rewrites]]
from = "/api/shop"
to = "/v1/products"

[[rewrites]]
from = "/rpc"
to = "/v1"
"#,
    );
    let gateway = Gateway::with(&[("catalog", witness.at)], |config| {
        config.edge_file = Some(file);
        config.forward_metadata = vec!["accept-language".parse().unwrap()];
    })
    .await;
    let request = Request::get("/api/shop/MUG%2FBLUE")
        .header("x-key", "Bearer k")
        .header("x-channel", "forged")
        .header("accept-language", "de");

    let answer = gateway.send(request.body(Bytes::new()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "shop"));
    assert!(answer.headers.get("server-timing").is_none());
    let seen = witness.last();
    assert_eq!(seen.path, "/shop.catalog.v1.CatalogService/GetProduct");
    assert!(seen.message.ends_with(b"MUG/BLUE"), "{seen:?}");
    assert_eq!(seen.headers["authorization"], "Bearer k");
    assert_eq!(seen.headers["x-channel"], "web");
    assert!(seen.headers.get("accept-language").is_none() && seen.headers.get("x-key").is_none());
    assert_eq!(gateway.get("/v1/products/MUG").await.status, 200, "where it is, it stays");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_is_refused_before_anything_listens() {
    let folder = Folder::new();
    let refused = async |text: &str, edge: Owner| {
        let file = folder.write("edge.toml", text);
        let started = Gateway::try_with(&[], |config| {
            config.edge_file = Some(file);
            config.edge = edge;
        });
        format!("{:#}", started.await.err().unwrap())
    };

    let line = refused("\n[rates.rpcs]\n\"a.B/C\" = { requests = 1, seconds = 1 }", Owner::Gateway);
    let line = line.await;
    let at = folder.0.join("edge.toml").display().to_string();
    assert!(line.starts_with(&format!("EDGE_FILE {at}, line 3: `a.B/C` cannot be")), "{line}");
    let inside = "[rates.rpcs]\n\"shop.catalog.v1.CatalogService/CreateProduct\" = \
                  { requests = 1, seconds = 1 }";
    assert!(refused(inside, Owner::Gateway).await.contains("line 2"), "it is not reached here");
    let path = refused("[[rewrites]]\nfrom = \"/a\"\nto = \"/v1/carts/x/pieces\"", Owner::Gateway);
    assert!(path.await.contains("line 3: nothing is at"));
    let twice = refused("[rates.address]\nrequests = 1\nseconds = 1", Owner::Ingress).await;
    assert!(twice.contains("take out [rates] in EDGE_FILE, or set EDGE=gateway"), "{twice}");
}

/// What is shipped is taken as it is, and refuses at last whoever never stops.
#[tokio::test]
async fn the_files_that_are_shipped_are_taken() {
    let witness = Witness::begin().await;
    let tree = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for (file, is_behind_tls) in
        [("k8s/base/edge.toml", true), ("compose/gateway/edge.toml", false)]
    {
        let gateway = Gateway::with(&[("catalog", witness.at)], |config| {
            config.edge_file = Some(format!("{tree}/{file}").into());
        })
        .await;

        let answer = gateway.get("/v1/products/MUG").await;

        assert!(answer.header("ratelimit-policy").starts_with("\"address\";q="), "{file}");
        assert_eq!(answer.headers.contains_key("strict-transport-security"), is_behind_tls);
    }
}

#[tokio::test]
async fn a_service_hears_where_the_client_is_from_the_door_alone() {
    let witness = Witness::begin().await;
    let gateway = Gateway::with(&[("catalog", witness.at)], |config| {
        config.trusted_hops = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let said = || {
        let seen = witness.last();
        let told = seen.headers.get_all("x-mesh-client-address").iter();
        told.map(|it| it.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    let invented = ("x-mesh-client-address", "203.0.113.9");
    ask(&gateway, Method::GET, &[invented, ("x-forwarded-for", "198.51.100.7")]).await;
    assert_eq!(said(), ["198.51.100.7"], "in JSON");

    let request = Request::post("/shop.catalog.v1.CatalogService/GetProduct")
        .header("content-type", "application/grpc-web+proto")
        .header(invented.0, invented.1)
        .body(Bytes::from_static(&[0; 5]))
        .unwrap();
    gateway.send(request).await;
    assert_eq!(said(), ["127.0.0.1"], "as gRPC");
}
