//! Service tokens, made as `up` makes them, in plaintext on loopback.

use http::HeaderMap;
use mesh_local::{NAMESPACE, ServiceKeys};
use mesh_rpc::{
    peer::{
        Mode,
        token::{HEADER, ServiceKey, Verifier},
    },
    reason,
};
use tonic::{Request, Status, metadata::MetadataMap, transport::Channel};

use crate::support::{Callee, Lab, Options, ask, who};

const SERVICES: [&str; 3] = ["gateway", "orders", "payments"];

#[tokio::test]
async fn a_token_says_who_calls_and_is_not_handed_on() {
    let lab = Lab::new();
    let keys = ServiceKeys::make(&lab.dir, &SERVICES).unwrap();
    let orders = callee(&keys, "orders").await;

    let peer = with_token(&orders.endpoint().connect_lazy(), &headers(&keys, "orders")).await;

    assert_eq!(peer.unwrap(), "gateway by Token");
    assert!(!orders.seen.metadata.lock().unwrap().contains_key(HEADER.as_str()));
}

#[tokio::test]
async fn a_token_for_one_service_is_worth_nothing_at_another() {
    let lab = Lab::new();
    let keys = ServiceKeys::make(&lab.dir, &SERVICES).unwrap();
    let payments = callee(&keys, "payments").await;
    let stolen = headers(&keys, "orders");

    let status = with_token(&payments.endpoint().connect_lazy(), &stolen).await.unwrap_err();

    assert_eq!(reason(&status).as_deref(), Some("TOKEN_FOR_ANOTHER"));
    assert_eq!(
        status.message(),
        "the service token is for spiffe://mesh.local/orders, not for spiffe://mesh.local/payments"
    );
    assert_eq!(payments.handled(), 0);
}

#[tokio::test]
async fn a_call_without_a_token_is_refused_where_one_is_required() {
    let lab = Lab::new();
    let keys = ServiceKeys::make(&lab.dir, &SERVICES).unwrap();
    let orders = callee(&keys, "orders").await;

    let status = who(&orders.endpoint().connect_lazy()).await.unwrap_err();

    assert_eq!(reason(&status).as_deref(), Some("TOKEN_MISSING"));
}

#[tokio::test]
async fn keys_that_were_made_anew_are_read_again_and_the_old_ones_are_worth_nothing() {
    let lab = Lab::new();
    let keys = ServiceKeys::make(&lab.dir, &["orders"]).unwrap();
    let orders = callee(&keys, "orders").await;
    let channel = orders.endpoint().connect_lazy();

    let keys = ServiceKeys::make(&lab.dir, &SERVICES).unwrap();
    let read_again = async {
        // At most once a second, from when they were read first.
        let mut tries = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            tries.tick().await;
            if let Ok(peer) = with_token(&channel, &headers(&keys, "orders")).await {
                return peer;
            }
        }
    };

    let patience = std::time::Duration::from_secs(60);
    let peer = tokio::time::timeout(patience, read_again).await.expect("read again");
    assert_eq!(peer, "gateway by Token");
}

async fn callee(keys: &ServiceKeys, service: &'static str) -> Callee {
    let mut options = Options::plaintext(service, Mode::Required);
    let here = format!("{NAMESPACE}/{service}").parse().unwrap();
    let verifier = Verifier::read(here, &keys.public()).unwrap();
    options.authenticator = options.authenticator.with_tokens(verifier);
    Callee::start(options).await
}

/// What the gateway sends along with a call to `target`.
fn headers(keys: &ServiceKeys, target: &str) -> HeaderMap {
    let id = format!("{NAMESPACE}/gateway").parse().unwrap();
    let key = ServiceKey::read(id, &keys.private("gateway")).unwrap();
    let mut headers = HeaderMap::new();
    key.tokens_for(target).unwrap().attach(&mut headers);
    assert!(headers[&HEADER].is_sensitive(), "no log shows it");
    headers
}

async fn with_token(channel: &Channel, headers: &HeaderMap) -> Result<String, Status> {
    let metadata = MetadataMap::from_headers(headers.clone());
    ask(channel, Request::from_parts(metadata, Default::default(), Default::default())).await
}
