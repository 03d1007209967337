//! How often somebody may ask.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, header};
use mesh_rpc::reason;
use mesh_testkit::Answer;
use shop::catalog::v1::{GetProductRequest, catalog_service_client::CatalogServiceClient};
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::{
    people::People,
    support::{Folder, Gateway, detail},
    witness::Witness,
};

/// So slowly that nothing comes back while a test runs.
const FILE: &str = r#"
[rates.address]
requests = 6
seconds = 60000

[rates.rpcs]
"shop.catalog.v1.CatalogService/GetProduct" = { requests = 2, seconds = 20000 }
"#;

async fn limited(catalog: SocketAddr, hops: &[&str]) -> Gateway {
    let folder = Folder::new();
    let file = folder.write("edge.toml", FILE);
    Gateway::with(&[("catalog", catalog)], |config| {
        config.edge_file = Some(file);
        config.trusted_hops = hops.iter().map(|hop| hop.parse().unwrap()).collect();
    })
    .await
}

async fn ask(gateway: &Gateway, target: &str, forwarded_for: &str) -> Answer {
    let request = Request::get(target).header("x-forwarded-for", forwarded_for);
    gateway.send(request.body(Bytes::new()).unwrap()).await
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_ask_again_in_every_speech() {
    let witness = Witness::begin().await;
    let gateway = limited(witness.at, &[]).await;
    let get = "/v1/products/MUG";

    let first = gateway.get(get).await;
    assert_eq!(first.status, 200);
    let policy = "\"address\";q=6;w=60000, \"GetProduct\";q=2;w=20000";
    assert_eq!(first.header("ratelimit-policy"), policy);
    assert_eq!(first.header("ratelimit"), "\"address\";r=5;t=10000, \"GetProduct\";r=1;t=10000");
    assert_eq!(gateway.get(get).await.status, 200);
    let refused = gateway.get(get).await;
    assert_eq!(refused.status, 429);
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((9_000..=10_000).contains(&seconds), "{seconds}");
    assert!(refused.header("ratelimit").contains("\"GetProduct\";r=0"));
    let error = refused.json().await;
    assert_eq!(detail(&error, "ErrorInfo")["reason"], "RATE_LIMITED");
    assert!(detail(&error, "RetryInfo")["retryDelay"].is_string());

    let mut catalog = CatalogServiceClient::new(gateway.channel());
    let refused = catalog.get_product(GetProductRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "by whatever name it is called");
    assert_eq!(reason(&refused).as_deref(), Some("RATE_LIMITED"));
    let delay = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!((9_000..=10_000).contains(&delay.as_secs()), "{delay:?}");
    let web = Request::post("/shop.catalog.v1.CatalogService/GetProduct")
        .header(header::CONTENT_TYPE, "application/grpc-web+proto");
    let web = gateway.send(web.body(Bytes::from_static(&[0; 5])).unwrap()).await;
    let web = String::from_utf8_lossy(&web.bytes().await).into_owned();
    assert!(web.contains("grpc-status: 8\r\n"), "{web}");
    assert_eq!(witness.count(), 2, "a service hears nothing of it");
}

#[tokio::test]
async fn ten_times_too_many_requests_of_one_leave_the_others_unaffected() {
    let witness = Witness::begin().await;
    let gateway = limited(witness.at, &["127.0.0.0/8"]).await;

    let mut answered = 0;
    for _ in 0..60 {
        let answer = ask(&gateway, "/v1/categories", "203.0.113.1").await;
        match answer.status.as_u16() {
            200 => answered += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!(answered, 6);
    for other in ["203.0.113.2", "2001:db8::1"] {
        assert_eq!(ask(&gateway, "/v1/categories", other).await.status, 200, "{other}");
    }
    assert_eq!(ask(&gateway, "/readyz", "203.0.113.1").await.status, 200, "an orchestrator's");
    assert_eq!(ask(&gateway, "/openapi.json", "203.0.113.1").await.status, 429);
}

/// One whom a gateway verifies tokens for, of which it counts users' requests.
async fn of_users(catalog: SocketAddr, people: &People) -> Gateway {
    let folder = Folder::new();
    let users = "[rates]\ngateways = 2\n[rates.user]\nrequests = 8\nseconds = 80000\n";
    let file = folder.write("edge.toml", &format!("{users}{FILE}"));
    Gateway::with(&[("catalog", catalog)], |config| {
        config.edge_file = Some(file);
        config.trusted_hops = vec!["127.0.0.0/8".parse().unwrap()];
        config.service.user_keys = Some(people.keys.clone());
    })
    .await
}

async fn ask_as(gateway: &Gateway, token: &str, forwarded_for: &str) -> Answer {
    let request = Request::get("/v1/categories").header("x-forwarded-for", forwarded_for);
    let request = request.header(header::AUTHORIZATION, token);
    gateway.send(request.body(Bytes::new()).unwrap()).await
}

#[tokio::test]
async fn who_is_signed_in_counts_by_themselves_wherever_they_are() {
    let (witness, people) = (Witness::begin().await, People::new());
    let gateway = of_users(witness.at, &people).await;
    let [ada, grace] = [Uuid::now_v7(), Uuid::now_v7()].map(|user| people.token(user));

    let first = ask_as(&gateway, &ada, "203.0.113.1").await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), "\"user\";q=4;w=80000", "half of it is here");
    assert_eq!(first.header("ratelimit"), "\"user\";r=3;t=20000");
    for address in ["203.0.113.1", "203.0.113.2", "198.51.100.7"] {
        assert_eq!(ask_as(&gateway, &ada, address).await.status, 200);
    }
    let refused = ask_as(&gateway, &ada, "198.51.100.8").await;
    assert_eq!(refused.status, 429, "from wherever");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((19_000..=20_000).contains(&seconds), "{seconds}");
    assert!(refused.header("ratelimit").starts_with("\"user\";r=0"));
    let error = refused.json().await;
    assert_eq!(detail(&error, "ErrorInfo")["reason"], "RATE_LIMITED");
    assert!(detail(&error, "RetryInfo")["retryDelay"].is_string());

    let mut catalog = CatalogServiceClient::new(gateway.channel());
    let mut request = tonic::Request::new(GetProductRequest::default());
    request.metadata_mut().insert("authorization", ada.parse().unwrap());
    let refused = catalog.get_product(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "however they speak");
    assert!(refused.get_details_retry_info().unwrap().retry_delay.unwrap().as_secs() > 19_000);

    for _ in 0..4 {
        assert_eq!(ask_as(&gateway, &grace, "203.0.113.1").await.status, 200, "another user");
    }
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/v1/categories", "203.0.113.1").await.status, 200, "nobody yet");
    }
    assert_eq!(ask(&gateway, "/v1/categories", "203.0.113.1").await.status, 429);
}

#[tokio::test]
async fn a_token_that_is_not_believed_makes_nobody_somebody() {
    let (witness, people) = (Witness::begin().await, People::new());
    let gateway = of_users(witness.at, &people).await;
    let stranger = People::new();

    let mut answered = 0;
    for _ in 0..12 {
        let token = stranger.token(Uuid::now_v7());
        answered += u8::from(ask_as(&gateway, &token, "203.0.113.1").await.status == 200);
    }
    assert_eq!(answered, 3, "all of them are one address");
}

#[tokio::test]
async fn nobody_becomes_somebody_else_by_saying_so() {
    let witness = Witness::begin().await;
    let asked = async |gateway: &Gateway, spoofed: fn(u8) -> String| {
        let mut answered = 0;
        for n in 0..12 {
            let answer = ask(gateway, "/v1/categories", &spoofed(n)).await;
            answered += u8::from(answer.status == 200);
        }
        answered
    };

    let direct = limited(witness.at, &[]).await;
    assert_eq!(asked(&direct, |n| format!("203.0.113.{n}")).await, 6, "no hop is trusted");
    let elsewhere = limited(witness.at, &["10.0.0.0/8"]).await;
    assert_eq!(asked(&elsewhere, |n| format!("203.0.113.{n}, 10.0.0.1")).await, 6);
    let behind = limited(witness.at, &["127.0.0.0/8"]).await;
    let left = asked(&behind, |n| format!("203.0.113.{n}, 198.51.100.7")).await;
    assert_eq!(left, 6, "what stands left of the last untrusted hop is invented");
}
