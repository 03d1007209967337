//! Access rules, checked between a caller and a handler.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use futures::StreamExt as _;
use mesh_auth::{Grant, LIFE, Revocations, SKEW, Signer, SigningKey, Verifier};
use mesh_local::ServiceKeys;
use mesh_policy::{Callers, values};
use mesh_rpc::{
    Access, Channel, Code, Disposition, Identity, Refusal,
    access::{only_of, user},
    discovery::Endpoints,
    disposition,
    peer::token::{ServiceKey, Verifier as ServiceVerifier},
    reason, refusal,
};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::support::{Alive, Callee, Client, Handlers, config, echo};

const DECLARED: &str = r#"
    service = "orders"
    [[calls]]
    service = "callee"
    methods = ["Step"]
"#;

/// A server that checks, and everybody whom it knows.
struct Lab {
    callee: Callee,
    signer: Signer,
    revocations: Arc<Revocations>,
    keys: ServiceKeys,
    dir: std::path::PathBuf,
}

impl Lab {
    async fn new(handlers: Handlers) -> Self {
        let dir = std::env::temp_dir().join(format!("access-{}", Uuid::now_v7().simple()));
        let keys = ServiceKeys::make(&dir, &["callee", "orders", "catalog", "meshctl"]).unwrap();
        let signer = Signer::new("issuer", "audience", SigningKey::generate().unwrap());
        let users = Verifier::new("issuer", "audience");
        users.replace_keys(&signer.jwks());
        let revocations = Arc::clone(users.revocations());
        let callers = Callers::declared([DECLARED]).unwrap();
        let operators = ["meshctl".to_owned()];
        let access = Access::new("callee", Some(Arc::new(users)), callers, &operators);
        let own = key(&keys, "callee");
        let id = own.id().unwrap();
        let own = own.with_verifier(ServiceVerifier::read(id, &keys.public()).unwrap());
        let callee = Callee::with(config(), values::Server::default(), handlers, |server| {
            server.identity(&own).access(&access)
        });
        Self { callee: callee.await, signer, revocations, keys, dir }
    }

    /// A client of a service, which shows no user's token by itself.
    fn service(&self, name: &str) -> Client {
        let channel = Channel::builder("caller", "callee").identity(&key(&self.keys, name));
        Client(channel.unwrap().follow(&Endpoints::fixed(&[self.callee.address])))
    }

    fn header(&self, grant: &Grant) -> http::HeaderValue {
        bearer(self.signer.sign(grant).unwrap().expose())
    }

    /// A client of a user's.
    fn user(&self, grant: &Grant) -> Client {
        let header = self.header(grant);
        let channel = Channel::builder("caller", "callee").user(move || Some(header.clone()));
        Client(channel.follow(&Endpoints::fixed(&[self.callee.address])))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn key(keys: &ServiceKeys, name: &str) -> Identity {
    let id = format!("spiffe://mesh.local/{name}").parse().unwrap();
    ServiceKey::read(id, &keys.private(name)).unwrap().into()
}

fn bearer(token: &str) -> http::HeaderValue {
    format!("Bearer {token}").parse().unwrap()
}

fn grant(user: Uuid) -> Grant {
    Grant::new(user, Uuid::now_v7())
}

async fn told(client: &Client, method: &'static str, text: &str) -> Result<String, Status> {
    client.unary(method, Request::new(echo(text))).await
}

fn is(answer: Result<String, Status>, code: Code, why: &str) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_deref()), (code, Some(why)), "{status:?}");
    assert_eq!(disposition(&status), Disposition::Unprocessed, "no handler has begun");
}

#[tokio::test]
async fn a_user_reaches_what_is_theirs_and_one_with_a_permission_what_is_anybodys() {
    let lab = Lab::new(Handlers::default()).await;
    let (ada, eve) = (Uuid::now_v7(), Uuid::now_v7());
    let (own, other) = (ada.to_string(), eve.to_string());

    let client = lab.user(&grant(ada));
    assert_eq!(told(&client, "Mine", &own).await.unwrap(), own);
    assert_eq!(told(&client, "Mine", &own.to_uppercase()).await.unwrap(), own.to_uppercase());
    is(told(&client, "Mine", &other).await, Code::PermissionDenied, "ACCESS_DENIED");
    is(told(&client, "Mine", "").await, Code::PermissionDenied, "ACCESS_DENIED");
    is(told(&client, "Step", &own).await, Code::PermissionDenied, "ACCESS_DENIED");

    let support = lab.user(&grant(eve).permissions(["lab.manage"]));
    assert_eq!(told(&support, "Mine", &own).await.unwrap(), own);
    let status = told(&client, "Mine", &other).await.unwrap_err();
    assert_eq!(refusal(&status), Some(Refusal::AccessDenied));
}

#[tokio::test]
async fn nobody_reaches_what_is_not_public_and_a_token_has_to_be_good() {
    let lab = Lab::new(Handlers::default()).await;
    let nobody = Client(lab.callee.channel());

    assert_eq!(told(&nobody, "Call", "public").await.unwrap(), "public");
    for method in ["Mine", "Thing", "Step", "Operate"] {
        is(told(&nobody, method, "1").await, Code::Unauthenticated, "TOKEN_MISSING");
    }
    let expired = SystemTime::now() - LIFE - SKEW - Duration::from_secs(1);
    let expired = lab.signer.sign_at(&grant(Uuid::now_v7()), expired).unwrap();
    let mut request = Request::new(echo("1"));
    let header = format!("Bearer {}", expired.expose());
    request.metadata_mut().insert("authorization", header.parse().unwrap());
    is(nobody.unary("Thing", request).await, Code::Unauthenticated, "TOKEN_EXPIRED");
    // What is public is nobody's business.
    let mut request = Request::new(echo("1"));
    request.metadata_mut().insert("authorization", header.parse().unwrap());
    assert_eq!(nobody.unary("Call", request).await.unwrap(), "1");
    // Which of two users should count?
    let mut request = Request::new(echo("1"));
    for _ in 0..2 {
        request.metadata_mut().append("authorization", header.parse().unwrap());
    }
    is(nobody.unary("Thing", request).await, Code::Unauthenticated, "TOKEN_MALFORMED");
}

#[tokio::test]
async fn a_service_reaches_what_it_declares_and_an_operator_what_is_for_operators() {
    let lab = Lab::new(Handlers::default()).await;
    let (orders, catalog) = (lab.service("orders"), lab.service("catalog"));

    assert_eq!(told(&orders, "Step", "1").await.unwrap(), "1");
    is(told(&catalog, "Step", "1").await, Code::PermissionDenied, "ACCESS_DENIED");
    is(told(&orders, "Thing", "1").await, Code::Unauthenticated, "TOKEN_MISSING");
    is(told(&orders, "Operate", "1").await, Code::Unauthenticated, "TOKEN_MISSING");

    assert_eq!(told(&lab.service("meshctl"), "Operate", "1").await.unwrap(), "1");
    let ops = lab.user(&grant(Uuid::now_v7()).permissions(["operator"]));
    assert_eq!(told(&ops, "Operate", "1").await.unwrap(), "1");
    let other = lab.user(&grant(Uuid::now_v7()).permissions(["lab.manage"]));
    is(told(&other, "Operate", "1").await, Code::PermissionDenied, "ACCESS_DENIED");
}

#[tokio::test]
async fn a_handler_knows_the_user_and_whose_things_it_may_hand_out() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let handlers = Handlers::default().asked(move |request| {
        noted.lock().unwrap().push((user(request).map(|user| user.subject()), only_of(request)));
    });
    let lab = Lab::new(handlers).await;
    let ada = Uuid::now_v7();

    let client = lab.user(&grant(ada).permissions(["lab.manage"]));
    for method in ["Call", "Mine", "Thing"] {
        told(&client, method, &ada.to_string()).await.unwrap();
    }

    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, [(None, None), (Some(ada), None), (Some(ada), Some(ada))]);
}

/// A stream that says one thing, and then nothing until it is dropped.
fn endless(alive: &Alive) -> Handlers {
    let lives = alive.clone();
    Handlers::default().down(move |text| {
        let life = lives.begin();
        let first = futures::stream::iter([Ok(echo(&text))]);
        let rest = futures::stream::pending().map(move |never: Result<_, _>| {
            let _ = &life;
            never
        });
        first.chain(rest).boxed()
    })
}

#[tokio::test]
async fn a_stream_ends_when_its_users_token_does() {
    let alive = Alive::default();
    let lab = Lab::new(endless(&alive)).await;
    let nearly_over = SystemTime::now() - LIFE - SKEW + Duration::from_secs(2);
    let token = lab.signer.sign_at(&grant(Uuid::now_v7()), nearly_over).unwrap();
    let mut request = Request::new(echo("first"));
    let header = format!("Bearer {}", token.expose());
    request.metadata_mut().insert("authorization", header.parse().unwrap());

    let mut follow = Client(lab.callee.channel()).stream("Follow", request).await.unwrap();
    assert_eq!(follow.message().await.unwrap().unwrap().text, "first");
    assert_eq!(alive.count(), 1);
    let end = follow.message().await.unwrap_err();

    assert_eq!(
        (end.code(), reason(&end).as_deref()),
        (Code::Unauthenticated, Some("TOKEN_EXPIRED"))
    );
    assert_eq!(refusal(&end), Some(Refusal::TokenExpired));
    crate::support::eventually("the handler's part to be dropped", || alive.count() == 0).await;
}

#[tokio::test]
async fn a_stream_ends_when_its_users_token_is_revoked() {
    let alive = Alive::default();
    let lab = Lab::new(endless(&alive)).await;
    let follow = async |session| {
        let token = lab.signer.sign(&Grant::new(Uuid::now_v7(), session)).unwrap();
        let mut request = Request::new(echo("first"));
        let header = format!("Bearer {}", token.expose());
        request.metadata_mut().insert("authorization", header.parse().unwrap());
        let mut follow = Client(lab.callee.channel()).stream("Follow", request).await.unwrap();
        assert_eq!(follow.message().await.unwrap().unwrap().text, "first");
        follow
    };
    let (ended, session) = (Uuid::now_v7(), Uuid::now_v7());
    let (mut follow, _other) = (follow(ended).await, follow(session).await);
    assert_eq!(alive.count(), 2);

    lab.revocations.revoke_session(ended, SystemTime::now() + LIFE);
    let end = follow.message().await.unwrap_err();

    assert_eq!(
        (end.code(), reason(&end).as_deref()),
        (Code::Unauthenticated, Some("TOKEN_REVOKED"))
    );
    assert_eq!(refusal(&end), Some(Refusal::TokenRevoked));
    crate::support::eventually("one handler's part to be dropped", || alive.count() == 1).await;
}

#[tokio::test]
async fn the_users_token_travels_with_a_handlers_calls_and_with_no_others() {
    let lab = Lab::new(Handlers::default()).await;
    let next = lab.service("orders");
    let relay = {
        let next = next.clone();
        Handlers::default().call(move |text| {
            let next = next.clone();
            async move {
                let answer = told(&next, "Mine", &text).await?;
                Ok(echo(&answer))
            }
        })
    };
    let front = Callee::start(config(), values::Server::default(), relay).await;
    let ada = Uuid::now_v7();

    let mut request = Request::new(echo(&ada.to_string()));
    let header = lab.header(&grant(ada));
    request.metadata_mut().insert("authorization", header.to_str().unwrap().parse().unwrap());
    let answer = Client(front.channel()).call(request).await.unwrap();
    assert_eq!(answer, ada.to_string());

    // The same client, outside of a call: as a saga's or a consumer's.
    is(told(&next, "Mine", &ada.to_string()).await, Code::Unauthenticated, "TOKEN_MISSING");
}
