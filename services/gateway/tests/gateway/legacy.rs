//! What an old system still answers.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{Method, Request, header};
use mesh_events::Nats;
use mesh_flags::{Board, Rule};
use mesh_local::{Declaration, broker_users, ensure_streams};
use mesh_runtime::{Secret, metrics};
use mesh_testkit::{Answer, IsolatedNats, eventually, nats_with};
use prost::Message as _;
use serde_json::Value;
use shop::catalog::v1::{GetProductResponse, Product, SearchProductsResponse};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    old::{Old, Says},
    people::People,
    support::{Folder, Gateway, NOWHERE, detail, uuid},
    witness::Witness,
};

const OPERATOR: &str = "operator";
const MOVED: &str = "gateway.products_moved";
const SHADOWED: &str = "gateway.products_shadowed";
const PRODUCT: &str = "/v1/products/MUG";
const ROUTE: &str = "/v1/products/{sku}";
const SEARCH: &str = "/v1/products:search";

/// A gateway between an old system, services, and a broker of its own that tells it of flags.
struct Scene {
    gateway: Gateway,
    old: Old,
    catalog: Witness,
    board: Board,
    people: People,
    file: PathBuf,
    _folder: Folder,
    _broker: IsolatedNats,
}

impl Scene {
    /// With routes to the old system, which say `{at}` for where it is.
    async fn begin(file: &str) -> Self {
        let (old, catalog, people) = (Old::begin().await, Witness::begin().await, People::new());
        catalog.tells(vec![product("MUG")], Status::ok(""));
        let declaration = Declaration::parse(include_str!("../../mesh.toml")).unwrap();
        let declarations = [declaration];
        let broker = nats_with(broker_users(&declarations, OPERATOR)).await;
        ensure_streams(&broker.url_of(OPERATOR), &declarations).await.unwrap();
        let folder = Folder::new();
        let file = folder.write("legacy.toml", &file.replace("{at}", &old.at.to_string()));
        let places = [("catalog", catalog.at), ("orders", catalog.at)];
        let gateway = Gateway::with(&places, |config| {
            config.legacy_file = Some(file.clone());
            config.trusted_hops = vec!["127.0.0.0/8".parse().unwrap()];
            config.service.nats_url = Some(Secret::new(broker.url_of("gateway")));
            config.service.user_keys = Some(people.keys.clone());
        });
        let gateway = gateway.await;
        let nats = Nats::open(&broker.url_of(OPERATOR), OPERATOR).await.unwrap();
        nats.connected().await;
        let board = Board::open(nats.jetstream()).await.unwrap();
        let _folder = folder;
        Self { gateway, old, catalog, board, people, file, _folder, _broker: broker }
    }

    async fn say(&self, flag: &str, rule: Rule) {
        let edit = |_| Ok(Some(rule.clone()));
        self.board.change(flag, ("a test", "to see"), edit).await.unwrap();
    }

    /// Leaves everything to the old system.
    async fn leave_all(&self) {
        self.say(MOVED, Rule::everybody(false)).await;
        eventually("it to be heard", async || self.by(PRODUCT, "", "203.0.113.1").await == "old")
            .await;
    }

    /// As a user, or as nobody from an address.
    async fn ask(&self, target: &str, token: &str, address: &str) -> Answer {
        let mut request = Request::get(target).header("x-forwarded-for", address);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, token);
        }
        self.gateway.send(request.body(Bytes::new()).unwrap()).await
    }

    /// Who answers.
    async fn by(&self, target: &str, token: &str, address: &str) -> &'static str {
        let answer = self.ask(target, token, address).await;
        assert_eq!(answer.status, 200);
        if answer.json().await["by"] == "old" { "old" } else { "new" }
    }
}

fn product(sku: &str) -> Vec<u8> {
    let product = Product { sku: sku.to_owned(), name: "Mug".to_owned(), ..Default::default() };
    GetProductResponse { product: Some(product) }.encode_to_vec()
}

/// A file with one route, and what else it says.
fn route(place: &str, more: &str) -> String {
    format!(
        "[backends.old]\nurl = \"http://{{at}}\"\nlimit_ms = 400\nmax_answer_bytes = 1000\n\
         [[routes]]\n{place}\nbackend = \"old\"\nmoved = \"products_moved\"\n{more}"
    )
}

fn of_product() -> String {
    route(&format!("path = \"{ROUTE}\""), "")
}

/// How often a shadow read of a route has ended so, in this process.
fn shadows(route: &str, outcome: &str) -> u64 {
    let text = metrics::render().unwrap();
    let of = format!("http_route=\"{route}\"");
    let is_it = |line: &&str| {
        line.starts_with("gateway_legacy_shadow_total{")
            && line.contains(&of)
            && line.contains(&format!("outcome=\"{outcome}\""))
    };
    let count = text.lines().find(is_it).and_then(|line| line.rsplit(' ').next());
    count.map_or(0, |count| count.parse().unwrap())
}

async fn reason(answer: Answer) -> (u16, String) {
    let status = answer.status.as_u16();
    let error = answer.json().await;
    (status, detail(&error, "ErrorInfo")["reason"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_answered_by_one_side_which_the_flag_says() {
    let scene = Scene::begin(&of_product()).await;
    let declared = scene.by(PRODUCT, "", "203.0.113.1").await;
    assert_eq!(declared, "new", "until somebody speaks");
    scene.leave_all().await;

    let half = Rule::percent(50).unwrap();
    scene.say(MOVED, half.clone()).await;
    let side = |who: &str| if half.decide(MOVED, Some(who)) { "new" } else { "old" };
    let users: Vec<_> = (0..20).map(|_| Uuid::now_v7()).collect();
    let addresses: Vec<_> = (0..20).map(|n| format!("203.0.113.{n}")).collect();
    let mover = addresses.iter().find(|it| side(it) == "new").unwrap();
    eventually("it to be heard", async || scene.by(PRODUCT, "", mover).await == "new").await;

    for _ in 0..3 {
        for (user, address) in users.iter().zip(&addresses) {
            let (name, token) = (user.to_string(), scene.people.token(*user));
            assert_eq!(scene.by(PRODUCT, &token, address).await, side(&name), "a user, anywhere");
            assert_eq!(scene.by(PRODUCT, &token, "198.51.100.7").await, side(&name));
            assert_eq!(scene.by(PRODUCT, "", address).await, side(address), "nobody, by address");
            assert_eq!(scene.by(PRODUCT, "Bearer x.y.z", address).await, side(address));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_system_hears_what_is_asked_and_nothing_that_is_none_of_its_business() {
    let scene = Scene::begin(&of_product()).await;
    scene.leave_all().await;
    let request = Request::get(format!("{PRODUCT}?language=de"))
        .header("x-forwarded-for", "203.0.113.9")
        .header("authorization", scene.people.token(Uuid::now_v7()))
        .header("accept-language", "de")
        .header("cookie", "a=b")
        .header("x-mesh-service-token", "t")
        .header("x-request-id", "r");
    let answer = scene.gateway.send(request.body(Bytes::new()).unwrap()).await;

    let asked = scene.old.last();
    assert_eq!((asked.method, asked.target), (Method::GET, format!("{PRODUCT}?language=de")));
    for (name, value) in [
        ("accept-language", "de"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-request-id", "r"),
        ("x-correlation-id", "r"),
    ] {
        assert_eq!(asked.headers[name], value, "{name}");
    }
    for name in ["authorization", "cookie", "x-mesh-service-token"] {
        assert!(!asked.headers.contains_key(name), "{name}");
    }
    assert_eq!(answer.header("x-request-id"), "r");
    assert!(answer.headers.get("set-cookie").is_none());
    assert!(answer.header("server-timing").contains(", service;dur="));
    assert_eq!(answer.json().await["by"], "old");
    let before = scene.old.count();
    for odd in ["/v1/products/%2e%2e", "/v1/products/a%2Fb"] {
        let answer = scene.ask(odd, "", "203.0.113.1").await;
        assert_eq!(answer.json().await["product"]["sku"], "MUG", "the service reads it alone");
    }
    assert_eq!(scene.old.count(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_the_old_system_does_not_answer_the_service_does() {
    let scene = Scene::begin(&of_product()).await;
    scene.leave_all().await;
    let large = format!("{{\"by\":\"old\",\"x\":\"{}\"}}", "x".repeat(1000));
    let slow = Says { after: Duration::from_secs(5), ..Says::json(200, "{\"by\":\"old\"}") };
    let packed = Says { encoding: Some("gzip"), ..Says::json(200, "{\"by\":\"old\"}") };

    for says in [Says::json(503, "{}"), Says::json(200, &large), packed, slow] {
        scene.old.says(says.clone());
        assert_eq!(scene.by(PRODUCT, "", "203.0.113.1").await, "new", "{says:?}");
    }
    // These are answers, of which only failures speak against it.
    scene.old.says(Says::json(200, "{\"by\":\"old\"}"));
    assert_eq!(scene.by(PRODUCT, "", "203.0.113.1").await, "old");
    for status in [404, 500] {
        scene.old.says(Says::json(status, "{\"error\":\"old\"}"));
        let answer = scene.ask(PRODUCT, "", "203.0.113.1").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.json().await["error"], "old");
    }
    // Failing again and again, it is left alone.
    scene.old.says(Says::json(503, "{}"));
    for _ in 0..5 {
        assert_eq!(scene.by(PRODUCT, "", "203.0.113.1").await, "new");
    }
    let before = scene.old.count();
    for _ in 0..3 {
        assert_eq!(scene.by(PRODUCT, "", "203.0.113.1").await, "new");
    }
    assert!(scene.old.count() <= before + 1, "but for one who looks whether it is back");
    scene.old.says(Says::json(200, "{\"by\":\"old\"}"));
    eventually("it to be asked again", async || {
        scene.by(PRODUCT, "", "203.0.113.1").await == "old"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_else_answers_fails_in_the_shops_own_words() {
    let scene = Scene::begin(&route("below = \"/old\"", "")).await;
    let put = async |body: &str| scene.gateway.tell(Method::PUT, "/old/prices?x=1", body).await;
    assert_eq!(put("{}").await.status, 404, "the shop has nothing there");
    scene.say(MOVED, Rule::everybody(false)).await;
    eventually("it to be heard", async || put("{}").await.status == 200).await;

    assert_eq!(put("{\"price\":7}").await.json().await["by"], "old");
    let asked = scene.old.last();
    assert_eq!((asked.method, asked.target.as_str()), (Method::PUT, "/old/prices?x=1"));
    assert_eq!(&asked.body[..], b"{\"price\":7}");
    assert_eq!(asked.headers["content-type"], "application/json");
    scene.old.says(Says::json(503, "{\"error\":\"old\"}"));
    assert_eq!(put("{}").await.json().await["error"], "old", "there is no other answer");

    scene.old.says(Says { encoding: Some("br"), ..Says::json(200, "{}") });
    assert_eq!(reason(put("{}").await).await, (502, "LEGACY_BROKEN".to_owned()));
    scene.old.says(Says { after: Duration::from_secs(5), ..Says::json(200, "{}") });
    assert_eq!(reason(put("{}").await).await, (504, "LEGACY_SLOW".to_owned()));
    let text = std::fs::read_to_string(&scene.file).unwrap();
    std::fs::write(&scene.file, text.replace(&scene.old.at.to_string(), NOWHERE)).unwrap();
    eventually("the file to be read again", async || {
        let answer = put("{}").await;
        answer.status == 503 && reason(answer).await.1 == "LEGACY_AWAY"
    })
    .await;
    let get = scene.ask("/old/prices", "", "203.0.113.1").await;
    assert_eq!(reason(get).await, (503, "LEGACY_AWAY".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_for_everybody_the_old_system_is_asked_for_users_only() {
    let place = "path = \"/v1/orders/{order_id}\"";
    let text = route(place, "").replace("[[routes]]", "sends_token = true\n[[routes]]");
    let scene = Scene::begin(&text).await;
    let refused = Status::with_details(Code::Unauthenticated, "who is it?", Bytes::new());
    scene.catalog.tells(vec![], refused);
    scene.say(MOVED, Rule::everybody(false)).await;
    let (order, token) = (format!("/v1/orders/{}", uuid()), scene.people.token(Uuid::now_v7()));
    let status = async |token: &str| scene.ask(&order, token, "203.0.113.1").await.status.as_u16();
    eventually("it to be heard", async || status(&token).await == 200).await;

    assert_eq!(scene.old.last().headers["authorization"], token.as_str());
    let before = scene.old.count();
    for nobody in ["", "Bearer x.y.z"] {
        assert_eq!(status(nobody).await, 401, "the service says so");
    }
    assert_eq!(scene.old.count(), before);
    scene.old.says(Says::json(401, "{}"));
    let unknown = scene.ask(&order, &token, "203.0.113.1").await;
    assert_eq!(unknown.header("www-authenticate"), "Bearer realm=\"shop\"", "it does not say so");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_asked_of_both_and_compared() {
    let more = "shadowed = \"products_shadowed\"\nignore = [\"/product/etag\"]";
    let scene = Scene::begin(&route(&format!("path = \"{ROUTE}\""), more)).await;
    let same = "{\"product\":{\"name\":\"Mug\",\"sku\":\"MUG\",\"etag\":\"x\"}}";
    scene.old.says(Says::json(200, same));
    let ask = async || scene.ask(PRODUCT, "", "203.0.113.1").await.status.as_u16();
    assert_eq!(ask().await, 200);
    scene.say(SHADOWED, Rule::everybody(true)).await;
    let counted = async |outcome: &str, status: u16| {
        let before = shadows(ROUTE, outcome);
        eventually(&format!("a shadow to be {outcome}"), async || {
            assert_eq!(ask().await, status);
            shadows(ROUTE, outcome) > before
        })
        .await;
    };

    counted("equal", 200).await;
    scene.old.says(Says::json(200, &same.replace("Mug", "Cup")));
    counted("different", 200).await;
    scene.old.says(Says::json(404, "{}"));
    counted("different", 200).await;
    scene.old.says(Says::json(503, "{}"));
    counted("failed", 200).await;

    scene.old.says(Says::json(200, same));
    let before = scene.catalog.count();
    scene.say(MOVED, Rule::everybody(false)).await;
    counted("equal", 200).await;
    scene.old.says(Says::json(404, "{}"));
    eventually("the old system to answer", async || ask().await == 404).await;
    counted("different", 404).await;
    scene.catalog.tells(vec![], Status::with_details(Code::NotFound, "none", Bytes::new()));
    counted("equal", 404).await;
    assert!(scene.catalog.count() > before, "the service was asked, too");
    assert_eq!(scene.catalog.last().headers["x-mesh-criticality"], "sheddable");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_shadows_than_there_is_room_for_are_dropped_and_nobody_waits() {
    let more = "shadowed = \"products_shadowed\"";
    let text = route(&format!("path = \"{SEARCH}\""), more);
    let scene = Scene::begin(&text.replace("limit_ms = 400", "limit_ms = 60000")).await;
    let found = SearchProductsResponse::default().encode_to_vec();
    scene.catalog.tells(vec![found], Status::ok(""));
    let after = Duration::from_secs(600);
    scene.old.says(Says { after, ..Says::json(200, "{}") });
    scene.say(SHADOWED, Rule::everybody(true)).await;

    let target = format!("{SEARCH}?query=mug");
    eventually("one to be dropped", async || {
        let answer = scene.ask(&target, "", "203.0.113.1").await;
        assert_eq!(answer.status, 200);
        shadows(SEARCH, "dropped") > 0
    })
    .await;
    assert_eq!(scene.old.count(), 32, "no more are under way at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_read_again_and_one_that_cannot_be_changes_nothing() {
    let scene = Scene::begin(&of_product()).await;
    scene.leave_all().await;
    let (text, other) = (std::fs::read_to_string(&scene.file).unwrap(), Old::begin().await);
    let look = async || scene.by(PRODUCT, "", "203.0.113.1").await;

    std::fs::write(&scene.file, "[backends.old]\nurl = 7").unwrap();
    // Longer than it is looked at once.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert_eq!(look().await, "old");
    }
    let moved = text.replace(&scene.old.at.to_string(), &other.at.to_string());
    std::fs::write(&scene.file, moved).unwrap();
    eventually("the other one to be asked", async || {
        assert_eq!(look().await, "old");
        other.count() > 0
    })
    .await;
    std::fs::write(&scene.file, "").unwrap();
    eventually("the route to be gone", async || look().await == "new").await;

    let wrong = Folder::new();
    let file = wrong.write("legacy.toml", "\n[backends.old]\nurl = 7");
    let refused = Gateway::try_with(&[], |config| config.legacy_file = Some(file)).await;
    let refused = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.starts_with("LEGACY_FILE ") && refused.contains("line 3"), "{refused}");
}

/// The broker tells nobody: then the shop answers, as it is declared.
#[tokio::test]
async fn who_hears_of_no_flags_goes_by_what_is_declared() {
    let (old, catalog) = (Old::begin().await, Witness::begin().await);
    let folder = Folder::new();
    let text = of_product().replace("{at}", &old.at.to_string());
    let file = folder.write("legacy.toml", &text);
    let places: [(&str, SocketAddr); 1] = [("catalog", catalog.at)];
    let gateway = Gateway::with(&places, |config| config.legacy_file = Some(file)).await;

    let answer: Value = gateway.get(PRODUCT).await.json().await;
    assert!(answer.get("by").is_none(), "{answer}");
    assert_eq!((old.count(), catalog.count()), (0, 1));
}
