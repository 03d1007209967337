//! People who sign in at the front door, and who are nobody any more, everywhere, when they sign out.

use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use futures::future::join_all;
use http::{Method, Request, header};
use mesh_auth::{Jwks, SigningKey};
use mesh_local::http as plain;
use mesh_policy::Owner;
use mesh_testkit::{Answer, browse, eventually};
use serde_json::{Value, json};
use shop::users::v1::{
    GetUserRequest, SignInRequest, Tokens, sessions_service_client::SessionsServiceClient,
    users_service_client::UsersServiceClient,
};
use sqlx::{Connection as _, PgConnection};
use tonic::{Code, Status, transport::Endpoint};

use crate::{
    evidence::reason,
    generated::{Rpc, bearer, rpcs},
    shop::{SERVICES, Shop, uuid},
};

const PASSWORD: &str = "correct horse battery";
/// The bound of the promise.
const SOON: Duration = Duration::from_secs(1);
/// So many that nobody is refused: by which limit a request counts shows whom the door takes it for.
const RATES: &str = "
[rates.address]
requests = 1000000
seconds = 60
[rates.user]
requests = 1000000
seconds = 60
";
/// It lets no user in: what users may call there, everybody may.
const KNOWS_NO_USER: &str = "processor";

/// Somebody with an account, and a session.
struct Person {
    id: String,
    email: String,
    session: String,
    token: String,
    refresh: String,
}

/// The file of the door with these rates.
fn rates() -> String {
    let file = format!("{}/{}.edge.toml", env!("CARGO_TARGET_TMPDIR"), uuid());
    fs::write(&file, RATES).unwrap();
    file
}

/// Asks the front door in JSON.
async fn tell(shop: &Shop, target: &str, token: &str, body: &Value) -> Answer {
    let mut request = Request::builder().method(Method::POST).uri(target);
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Bytes::from(body.to_string())).unwrap();
    browse(shop.platform.grpc("gateway"), request).await.unwrap()
}

/// Registers and signs in, in JSON.
async fn person(shop: &Shop) -> Person {
    let email = format!("{}@example.com", uuid());
    let account = json!({ "requestId": uuid(), "email": email, "password": PASSWORD,
                          "name": "Ada Lovelace" });
    let registered = tell(shop, "/v1/users", "", &account).await;
    assert_eq!(registered.status, 200);
    let credentials = json!({ "requestId": uuid(), "email": email, "password": PASSWORD });
    let signed = tell(shop, "/v1/sessions", "", &credentials).await.json().await;
    let text = |place: &str| signed.pointer(place).unwrap().as_str().unwrap().to_owned();
    Person {
        id: text("/session/userId"),
        email,
        session: text("/session/sessionId"),
        token: text("/tokens/accessToken"),
        refresh: text("/tokens/refreshToken"),
    }
}

async fn sign_out(shop: &Shop, person: &Person) {
    let Person { id, session, .. } = person;
    let target = format!("/v1/users/{id}/sessions/{session}:signOut");
    let answer = tell(shop, &target, &person.token, &json!({ "requestId": uuid() })).await;
    assert_eq!(answer.status, 200);
}

/// Whether the door takes whoever shows a token for a user: by the limit that their request counts for.
async fn is_user_at_the_door(shop: &Shop, token: &str) -> bool {
    let request = Request::get("/v1/categories?page_size=1");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    let request = request.body(Bytes::new()).unwrap();
    let answer = browse(shop.platform.grpc("gateway"), request).await.unwrap();
    let policy = answer.headers["ratelimit-policy"].to_str().unwrap();
    match policy.split(';').next() {
        Some("\"user\"") => true,
        Some("\"address\"") => false,
        _ => panic!("{policy}"),
    }
}

/// An RPC of each service that looks at users' tokens.
fn guarded() -> Vec<Rpc> {
    let all = rpcs();
    let of = |service: &&str| {
        let own = all.iter().filter(|rpc| rpc.path.starts_with(&format!("shop.{service}.")));
        let mut guarded = own.filter(|rpc| rpc.access.is_for_users() && !rpc.access.public);
        let found = guarded.find(|rpc| !matches!(rpc.access.owner, Some(Owner::Field { .. })));
        found.cloned().unwrap_or_else(|| panic!("{service} lets no user in: say so here"))
    };
    let services = SERVICES.iter().chain(&["storefront"]);
    services.filter(|service| **service != KNOWS_NO_USER).map(of).collect()
}

/// What a service says of a token.
async fn shown(shop: &Shop, rpc: &Rpc, token: &str) -> (Option<Code>, String) {
    let answer = rpc.send_with(shop, Bytes::new(), bearer(token)).await;
    answer.map_or_else(|status| (Some(status.code()), reason(&status)), |_| (None, String::new()))
}

fn is_refused(told: &(Option<Code>, String)) -> bool {
    told.0 == Some(Code::Unauthenticated)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_signed_out_is_refused_by_every_service_within_a_second() {
    let file = rates();
    let shop = Shop::with_gateway(|options| options.env("gateway", "EDGE_FILE", &file)).await;
    let guarded = guarded();
    assert_eq!(guarded.len(), SERVICES.len(), "all but one, and the storefront");
    let (here, there) = (person(&shop).await, person(&shop).await);
    assert!(is_user_at_the_door(&shop, &here.token).await);
    for rpc in &guarded {
        let told = shown(&shop, rpc, &here.token).await;
        assert!(!is_refused(&told), "{}: {told:?}", rpc.path);
    }

    sign_out(&shop, &here).await;
    let begun = Instant::now();
    let services = join_all(guarded.iter().map(async |rpc| {
        let what = format!("{} to refuse it", rpc.process);
        eventually(&what, async || is_refused(&shown(&shop, rpc, &here.token).await)).await;
    }));
    let door = eventually("the door to know nobody by it", async || {
        !is_user_at_the_door(&shop, &here.token).await
    });
    tokio::join!(services, door);
    let took = begun.elapsed();

    assert!(took < SOON, "{took:?}");
    for rpc in &guarded {
        let told = shown(&shop, rpc, &here.token).await;
        assert_eq!(told, (Some(Code::Unauthenticated), "TOKEN_REVOKED".to_owned()));
        let told = shown(&shop, rpc, &there.token).await;
        assert!(!is_refused(&told), "somebody else's at {}: {told:?}", rpc.path);
    }
    assert!(is_user_at_the_door(&shop, &there.token).await);
    let refresh = json!({ "refreshToken": here.refresh });
    assert_eq!(tell(&shop, "/v1/sessions:refresh", "", &refresh).await.status, 401);
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_broker_says_so_and_goes_by_its_rule() {
    let file = rates();
    let shop = Shop::with_gateway(|options| {
        options.env("orders", "REVOCATIONS_LOST", "closed").env("gateway", "EDGE_FILE", &file)
    })
    .await;
    let guarded = guarded();
    let ada = person(&shop).await;
    let of = |service: &str| guarded.iter().find(|rpc| rpc.process == service).unwrap();
    let (open, closed) = (of("catalog"), of("orders"));
    let followers: Vec<_> = guarded.iter().map(|rpc| &*rpc.process).chain(["gateway"]).collect();
    for service in &followers {
        assert_eq!(lost(&shop, service).await, None, "{service}");
    }

    shop.platform.nats().down().await;
    for service in &followers {
        let says = eventually("it to be said", async || lost(&shop, service).await).await;
        let rule = if *service == "orders" { "no token" } else { "taken until they expire" };
        assert!(says.contains(rule), "{service}: {says}");
    }
    assert!(is_user_at_the_door(&shop, &ada.token).await);
    assert!(!is_refused(&shown(&shop, open, &ada.token).await));
    let told = shown(&shop, closed, &ada.token).await;
    assert_eq!(told, (Some(Code::Unauthenticated), "REVOCATIONS_UNKNOWN".to_owned()));
    sign_out(&shop, &ada).await;

    shop.platform.nats().up().await;
    for service in &followers {
        eventually("it to be known", async || lost(&shop, service).await.is_none()).await;
    }
    eventually("the door to hear of it", async || !is_user_at_the_door(&shop, &ada.token).await)
        .await;
    for rpc in &guarded {
        eventually("it to be heard", async || {
            shown(&shop, rpc, &ada.token).await.1 == "TOKEN_REVOKED"
        })
        .await;
    }
    shop.platform.shutdown().await;
}

/// What a service says of not knowing what is revoked, if it does not, by its health and its metrics.
async fn lost(shop: &Shop, service: &str) -> Option<String> {
    let process = shop.platform.service(service);
    let (_, text) = plain::request(process.admin(), "GET", "/readyz").await.unwrap();
    let health: Value = serde_json::from_str(&text).unwrap();
    let condition = &health["conditions"]["revocations"];
    assert!(condition["state"].is_string(), "{service} does not follow them: {health}");
    let says = (condition["state"] == "degraded").then(|| condition["why"].to_string());
    let metrics = process.metrics().await;
    let gauge = metrics.lines().find(|it| it.starts_with("mesh_auth_revocations_unknown{"));
    let unknown = gauge.unwrap().ends_with(" 1");
    says.filter(|_| unknown)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signing_key_is_replaced_under_load_no_good_token_is_refused_and_the_old_key_goes() {
    let shop = Shop::with_gateway(|options| options).await;
    let ada = person(&shop).await;
    let all = guarded();
    let two = ["orders", "shipping"].map(|name| all.iter().find(|it| it.process == name).unwrap());
    let (tokens, ends) = (Mutex::new(vec![ada.token.clone()]), AtomicBool::new(false));
    let load = join_all(two.map(async |rpc| {
        let (mut asked, mut refused) = (0, Vec::new());
        while !ends.load(Relaxed) {
            let shown_now = tokens.lock().unwrap().clone();
            for token in shown_now {
                let told = shown(&shop, rpc, &token).await;
                asked += 1;
                refused.extend(is_refused(&told).then_some((rpc.process.clone(), told)));
            }
        }
        (asked, refused)
    }));
    let turn = async {
        let new = replace_key(&shop).await;
        let token = eventually("the new key to sign", async || {
            let token = sign_in(&shop, &ada).await?;
            // Of both keys, at once.
            *tokens.lock().unwrap() = vec![ada.token.clone(), token.clone()];
            (key_of(&token) == new).then_some(token)
        })
        .await;
        ends.store(true, Relaxed);
        token
    };

    let (load, new) = tokio::join!(load, turn);

    for (asked, refused) in load {
        assert_eq!(refused, vec![], "of {asked}");
        assert!(asked > 100, "{asked}");
    }
    end_overlap(&shop).await;
    for rpc in &all {
        let refused = (Some(Code::Unauthenticated), "TOKEN_KEY_UNKNOWN".to_owned());
        eventually("the old key to be gone", async || {
            shown(&shop, rpc, &ada.token).await == refused
        })
        .await;
        let told = shown(&shop, rpc, &new).await;
        assert!(!is_refused(&told), "{}: {told:?}", rpc.path);
    }
    let given = fs::read(shop.platform.user_keys().public()).unwrap();
    let given = Jwks::from_json(&given).unwrap().keys;
    assert_eq!(given[0].id(), key_of(&ada.token), "nobody was given the new one");
    shop.platform.shutdown().await;
}

/// Gives the users service another key to sign with, as an operator does. Returns its id.
async fn replace_key(shop: &Shop) -> String {
    let key = SigningKey::generate().unwrap();
    let pkcs8 = BASE64_STANDARD.encode(key.expose_pkcs8());
    fs::write(shop.platform.user_keys().private(), pkcs8).unwrap();
    let users = shop.platform.service("users");
    let starts = users.starts();
    users.kill().await;
    users.restarted(starts).await;
    users.ready().await;
    key.id().to_owned()
}

/// The token of a new session, unless somebody is away.
async fn sign_in(shop: &Shop, person: &Person) -> Option<String> {
    let credentials = json!({ "requestId": uuid(), "email": person.email, "password": PASSWORD });
    let signed = tell(shop, "/v1/sessions", "", &credentials).await.json().await;
    signed.pointer("/tokens/accessToken")?.as_str().map(str::to_owned)
}

/// The key that a token names.
fn key_of(token: &str) -> String {
    let head = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let head: Value = serde_json::from_slice(&head).unwrap();
    head["kid"].as_str().unwrap().to_owned()
}

/// Lets the last token of the key before the last expire, as far as users knows.
async fn end_overlap(shop: &Shop) {
    let mut users = PgConnection::connect(shop.platform.database_url("users")).await.unwrap();
    let earlier = "UPDATE signing_keys SET signs_at = signs_at - interval '16 minutes'";
    sqlx::query(earlier).execute(&mut users).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_by_grpc_at_the_same_door() {
    let shop = Shop::with_gateway(|options| options).await;
    let ada = person(&shop).await;
    let channel = Endpoint::from_shared(shop.platform.uri("gateway")).unwrap().connect_lazy();
    let mut sessions = SessionsServiceClient::new(channel.clone());
    let mut accounts = UsersServiceClient::new(channel);

    let request = SignInRequest {
        request_id: uuid(),
        email: ada.email.clone(),
        password: PASSWORD.to_owned(),
        device: "a program".to_owned(),
    };
    let signed = sessions.sign_in(request.clone()).await.unwrap().into_inner();
    let Tokens { access_token, .. } = signed.tokens.unwrap();

    let get = |token: Option<&str>, user_id: &str| {
        let mut request = tonic::Request::new(GetUserRequest { user_id: user_id.to_owned() });
        if let Some(token) = token {
            *request.metadata_mut() = bearer(token);
        }
        request
    };
    let told = accounts.get_user(get(Some(&access_token), &ada.id)).await.unwrap().into_inner();
    assert_eq!(told.user.unwrap().email, ada.email);
    let code = |answer: Result<_, Status>| answer.err().map(|status| status.code());
    let nobody = code(accounts.get_user(get(None, &ada.id)).await.map(drop));
    assert_eq!(nobody, Some(Code::Unauthenticated));
    let somebody = code(accounts.get_user(get(Some(&access_token), &uuid())).await.map(drop));
    assert_eq!(somebody, Some(Code::PermissionDenied));
    let wrong = SignInRequest { request_id: uuid(), password: "wrong".to_owned(), ..request };
    let status = sessions.sign_in(wrong).await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::Unauthenticated, "SIGN_IN_REFUSED"));
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_is_slowed_where_they_are_and_nobody_else_is() {
    let shop = Shop::with_gateway(|options| {
        let trusting = options.env("gateway", "TRUSTED_HOPS", "127.0.0.0/8");
        trusting.env("users", "FREE_ATTEMPTS_PER_ADDRESS", "3")
    })
    .await;
    let sign_in = async |from: &str, invented: &str| {
        let email = format!("{}@example.com", uuid());
        let body = json!({ "requestId": uuid(), "email": email, "password": "a guess, no more" });
        let request = Request::post("/v1/sessions")
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-forwarded-for", from)
            .header("x-mesh-client-address", invented)
            .body(Bytes::from(body.to_string()))
            .unwrap();
        browse(shop.platform.grpc("gateway"), request).await.unwrap().status.as_u16()
    };

    let mut told = Vec::new();
    for n in 0..4 {
        // Whatever else the client says of where it is.
        told.push(sign_in("198.51.100.7", &format!("203.0.113.{n}")).await);
    }
    assert_eq!(told, [401, 401, 401, 429]);
    assert_eq!(sign_in("198.51.100.8", "198.51.100.7").await, 401, "somebody elsewhere");
    shop.platform.shutdown().await;
}
