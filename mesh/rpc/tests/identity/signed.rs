//! Service tokens through the server and channels to it.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use http::HeaderMap;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mesh_local::{NAMESPACE, ServiceKeys};
use mesh_rpc::{
    Code, Identity,
    peer::token::{HEADER, ServiceKey, Verifier},
    reason,
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use tonic::metadata::MetadataMap;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
};

use crate::{serving::Serving, support::Lab};

const SERVICES: [&str; 2] = ["gateway", "orders"];

#[tokio::test]
async fn the_server_knows_who_calls_by_the_token_and_takes_it_out() {
    let lab = Lab::new();
    let keys = ServiceKeys::make(&lab.dir, &SERVICES).unwrap();
    let orders = Serving::start("orders", &identity(&keys, "orders")).await;

    let gateway = orders.caller(&identity(&keys, "gateway"), "orders");

    assert_eq!(gateway.who().await.unwrap(), "gateway by Token");
    assert!(!orders.seen.metadata.lock().unwrap().contains_key(HEADER.as_str()));
    orders.stop().await;
}

#[tokio::test]
async fn somebody_on_this_machine_may_call_without_a_token() {
    let lab = Lab::new();
    let keys = ServiceKeys::make(&lab.dir, &SERVICES).unwrap();
    let orders = Serving::start("orders", &identity(&keys, "orders")).await;

    let somebody = orders.caller(&Identity::default(), "orders");

    assert_eq!(somebody.who().await.unwrap(), "somebody by Loopback");
    orders.stop().await;
}

#[tokio::test]
async fn a_forged_and_an_expired_token_are_refused_in_plain_words() {
    let lab = Lab::new();
    let keys = ServiceKeys::make(&lab.dir, &SERVICES).unwrap();
    let orders = Serving::start("orders", &identity(&keys, "orders")).await;
    let caller = orders.caller(&Identity::default(), "orders");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();

    // Signed by somebody who has a key of his own, and by nobody since two minutes ago.
    let forged = token(&keys.private("orders"), now);
    let expired = token(&keys.private("gateway"), now - 120);
    for (token, why, words) in [
        (forged, "TOKEN_FORGED", "was not signed by its issuer"),
        (expired, "TOKEN_EXPIRED", "has expired"),
    ] {
        let headers = HeaderMap::from_iter([(HEADER, token.parse().unwrap())]);
        let status = caller.say(MetadataMap::from_headers(headers)).await.unwrap_err();

        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert_eq!(reason(&status).as_deref(), Some(why));
        assert!(status.message().contains(words), "{status}");
    }
    orders.stop().await;
}

#[tokio::test]
async fn the_span_of_a_call_says_who_makes_it() {
    let lab = Lab::new();
    let keys = ServiceKeys::make(&lab.dir, &SERVICES).unwrap();
    let orders = Serving::start("orders", &identity(&keys, "orders")).await;
    let callers = Callers::default();
    let _recorded = mesh_testkit::hear(tracing_subscriber::registry().with(callers.clone()));

    orders.caller(&identity(&keys, "gateway"), "orders").who().await.unwrap();
    orders.caller(&Identity::default(), "orders").who().await.unwrap();

    assert_eq!(*callers.0.lock().unwrap(), ["spiffe://mesh.local/gateway", "loopback"]);
    orders.stop().await;
}

/// Who called, as spans tell.
#[derive(Clone, Default)]
struct Callers(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Callers {
    fn on_record(&self, _span: &Id, values: &Record<'_>, _ctx: Context<'_, S>) {
        values.record(&mut self.clone());
    }
}

impl Visit for Callers {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "mesh.peer" {
            self.0.lock().unwrap().push(value.to_owned());
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

fn identity(keys: &ServiceKeys, service: &str) -> Identity {
    let key = ServiceKey::named(service, &keys.private(service), &keys.public()).unwrap();
    let verifier = Verifier::read(key.id().clone(), &keys.public()).unwrap();
    Identity::from(key).with_verifier(verifier)
}

/// What the gateway would send to the orders service at `iat`, signed with some key.
fn token(key: &Path, iat: u64) -> String {
    let key = PrivatePkcs8KeyDer::from_pem_file(key).unwrap();
    let key = EncodingKey::from_ed_der(key.secret_pkcs8_der());
    let gateway = format!("{NAMESPACE}/gateway");
    let header = Header { kid: Some(gateway.clone()), ..Header::new(Algorithm::EdDSA) };
    let audience = format!("{NAMESPACE}/orders");
    let claims =
        serde_json::json!({ "iss": gateway, "aud": audience, "iat": iat, "exp": iat + 60 });
    jsonwebtoken::encode(&header, &claims, &key).unwrap()
}
