//! What the broker refuses a service is said, counted, and shown.

use mesh_events::Relay;
use mesh_local::{Declaration, broker_users, ensure_streams};
use mesh_runtime::State;
use mesh_testkit::{Database, eventually, nats_with};
use uuid::Uuid;

use crate::support::{Node, STREAM, counted, migrations};

fn declared(text: &str) -> Declaration {
    Declaration::parse(&format!("service = \"{STREAM}\"\n{text}")).unwrap()
}

/// The condition of the broker, if it is not as it should be.
fn trouble(node: &Node) -> Option<String> {
    let conditions = node.service.health().readiness().conditions;
    let broker = conditions.into_iter().find(|it| it.name == "broker").unwrap();
    (broker.state == State::Degraded).then_some(broker.why)
}

async fn refusals(node: &Node) -> f64 {
    let address = node.service.admin_addr();
    let (_, page) = mesh_local::http::request(address, "GET", "/metrics").await.unwrap();
    let lines = page.lines().filter(|line| line.starts_with("mesh_nats_refusals_total"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// A service whose declaration does not say that it publishes: its relay is refused, and it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_that_is_missing_is_a_reason_to_be_degraded() {
    let complete = declared("publishes = [\"stranger.v1\"]");
    let lacking =
        declared("[[subscribes]]\nstream = \"other\"\nsubjects = [\"a.v1.B\"]\nwhy = \"\"");
    let mut users = broker_users(&[lacking], "operator");
    users.truncate(1);
    users.extend(broker_users(&[], "operator"));
    let nats = nats_with(users).await;
    ensure_streams(&nats.url_of("operator"), &[complete]).await.unwrap();
    let database = Database::empty(STREAM, migrations()).await;
    let node = Node::start(STREAM, &database, &nats.url_of(STREAM)).await;

    node.run(|node| Relay::start(&node.service, &node.db, &node.nats, STREAM));
    node.record(counted(Uuid::from_u128(1), 1..=1)).await;

    eventually("the refusal to be shown", async || {
        trouble(&node).filter(|why| {
            why.starts_with("refuses:") && why.contains("\"$JS.API.STREAM.INFO.things\"")
        })
    })
    .await;
    eventually("the refusal to be counted", async || refusals(&node).await >= 1.0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_wrong_is_a_reason_to_be_degraded() {
    let nats = nats_with(Vec::new()).await;
    let database = Database::empty(STREAM, migrations()).await;
    let url = nats.url().replace("tester:", "tester:x");
    let node = Node::start(STREAM, &database, &url).await;

    eventually("the refusal to be shown", async || {
        trouble(&node).filter(|why| why.contains("look at NATS_URL"))
    })
    .await;
    node.stop().await;
}
