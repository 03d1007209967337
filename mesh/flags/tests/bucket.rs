//! What an operator says of a flag, every replica hears; it is kept who said it; and who hears nothing
//! says so.

use std::time::Duration;

use mesh_events::Nats;
use mesh_flags::{BUCKET, Board, Flag, Flags, HISTORY, NotKept, Rule};
use mesh_local::{Declaration, broker_users, ensure_streams};
use mesh_runtime::{Secret, Service, ServiceConfig, State};
use mesh_testkit::{IsolatedNats, eventually, nats_with};
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(1);
const OPERATOR: &str = "operator";
/// One that declares flags, its neighbour, and one whose figures no other test has.
const DECLARED: [&str; 3] = [
    "service = \"pages\"\n[[buckets]]\nname = \"flags\"\naccess = \"read\"\nwhy = \"x\"\n\
     [[flags]]\nname = \"stock\"\ndefault = true\nwhat = \"x\"\n\
     [[flags]]\nname = \"dark\"\ndefault = false\nwhat = \"x\"",
    "service = \"door\"\n[[buckets]]\nname = \"flags\"\naccess = \"read\"\nwhy = \"x\"\n\
     [[flags]]\nname = \"dark\"\ndefault = false\nwhat = \"x\"",
    "service = \"lone\"\n[[buckets]]\nname = \"flags\"\naccess = \"read\"\nwhy = \"x\"\n\
     [[flags]]\nname = \"stock\"\ndefault = true\nwhat = \"x\"\n\
     [[flags]]\nname = \"dark\"\ndefault = false\nwhat = \"x\"",
];

/// A broker with a user for each of them, and its bucket.
async fn broker() -> IsolatedNats {
    let declarations = DECLARED.map(|text| Declaration::parse(text).unwrap());
    let broker = nats_with(broker_users(&declarations, OPERATOR)).await;
    ensure_streams(&broker.url_of(OPERATOR), &declarations).await.unwrap();
    broker
}

async fn board(broker: &IsolatedNats) -> Board {
    let nats = Nats::open(&broker.url_of(OPERATOR), "operator").await.unwrap();
    nats.connected().await;
    Board::open(nats.jetstream()).await.unwrap()
}

/// A replica of a service.
struct Node {
    service: Service,
    flags: Flags,
    nats: Nats,
}

impl Node {
    async fn start(broker: &IsolatedNats, name: &'static str) -> Self {
        let config = ServiceConfig {
            nats_url: Some(Secret::new(broker.url_of(name))),
            log_level: "off".to_owned(),
            ..ServiceConfig::default()
        };
        let service = Service::begin(name, &config).await.unwrap();
        let nats = mesh_events::connect(&service, &config).await.unwrap();
        let flags = Flags::declared(name, &DECLARED).unwrap();
        flags.follow(&service, nats.client(), nats.jetstream());
        Self { service, flags, nats }
    }

    fn flag(&self, name: &str) -> Flag {
        self.flags.flag(name).unwrap()
    }

    async fn knows(&self) {
        eventually("the bucket to be read", async || self.degraded().is_none()).await;
    }

    /// Why the condition `flags` is degraded; nothing if it is not.
    fn degraded(&self) -> Option<String> {
        let conditions = self.service.health().readiness().conditions;
        let condition = conditions.into_iter().find(|it| it.name == "flags").unwrap();
        (condition.state == State::Degraded).then_some(condition.why)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.service.stop();
    }
}

fn always(on: bool) -> impl Fn(Option<Rule>) -> Result<Option<Rule>, mesh_flags::BadRule> {
    move |_| Ok(Some(Rule::everybody(on)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_heard_by_every_replica_within_a_second_and_by_who_comes_later() {
    let broker = broker().await;
    let board = board(&broker).await;
    board.change("pages.dark", ("ada", "a try"), always(true)).await.unwrap();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::start(&broker, "pages").await);
    }
    let door = Node::start(&broker, "door").await;
    for node in &nodes {
        node.knows().await;
        assert!(node.flag("dark").is_on(None), "what was said before");
        assert!(node.flag("stock").is_on(None), "as declared");
    }

    let said = Instant::now();
    let rule = Rule::percent(50).unwrap().user("ada", Some(false)).unwrap();
    let change = |_| Ok(Some(rule.clone()));
    board.change("pages.stock", ("grace", ""), change).await.unwrap();
    for node in &nodes {
        let stock = node.flag("stock");
        eventually("it to be heard", async || !stock.is_on(Some("ada"))).await;
    }
    let took = said.elapsed();
    assert!(took < SOON, "{took:?}");

    let users: Vec<_> = (0..200).map(|number| format!("user-{number}")).collect();
    let sides = |node: &Node| {
        let stock = node.flag("stock");
        users.iter().map(|user| stock.is_on(Some(user))).collect::<Vec<_>>()
    };
    let first = sides(&nodes[0]);
    assert!(nodes.iter().all(|node| sides(node) == first), "sticky in every replica");
    assert!(first.contains(&true) && first.contains(&false));
    door.knows().await;
    assert!(!door.flag("dark").is_on(None), "another's flag of the same name");
    assert!(evaluations("pages.stock", "on") > 0.0 && evaluations("pages.stock", "off") > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_broker_goes_by_what_was_heard_last_says_so_and_catches_up() {
    let broker = broker().await;
    let before = board(&broker).await;
    before.change("lone.stock", ("ada", ""), always(false)).await.unwrap();
    let node = Node::start(&broker, "lone").await;
    node.knows().await;
    assert!(node.flags.age().is_zero());

    broker.down().await;
    eventually("it to be noticed", async || node.degraded()).await;
    assert!(!node.flag("stock").is_on(None), "what was heard stays");
    assert!(node.degraded().unwrap().contains("what was heard last holds"));
    eventually("it to age", async || age("lone") > 0.0 && !node.flags.age().is_zero()).await;
    let late = Node::start(&broker, "door").await;
    assert!(!late.flag("dark").is_on(None), "as declared, by who never heard anything");
    assert!(late.degraded().is_some());

    broker.up().await;
    let board = board(&broker).await;
    board.change("lone.dark", ("ada", ""), always(true)).await.unwrap();
    for node in [&node, &late] {
        node.knows().await;
    }
    eventually("it to be heard", async || node.flag("dark").is_on(None)).await;
    assert!(!node.flag("stock").is_on(None), "it is kept");
    eventually("it to be of now", async || age("lone") == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_kept_with_who_made_it_when_and_why() {
    let broker = broker().await;
    let board = board(&broker).await;
    assert_eq!(board.get("pages.dark").await.unwrap(), None);
    assert_eq!(board.history("pages.dark").await.unwrap(), []);

    board.change("pages.dark", ("ada", "launch"), always(true)).await.unwrap();
    let off = board.change("pages.dark", ("grace", ""), |_| Ok(None)).await.unwrap();

    assert_eq!(board.get("pages.dark").await.unwrap(), Some(off));
    let history = board.history("pages.dark").await.unwrap();
    let told: Vec<_> = history.iter().map(|it| (&*it.by, &*it.why, it.rule.is_some())).collect();
    assert_eq!(told, [("ada", "launch", true), ("grace", "", false)]);
    assert!(
        history.iter().all(|it| it.at.ends_with('Z') && it.at.starts_with("20")),
        "{history:?}"
    );

    // Two who name users at once: both are named.
    let name = |user: String| {
        let board = board.clone();
        async move {
            let edit = |rule: Option<Rule>| {
                let rule = rule.unwrap_or_else(|| Rule::everybody(false));
                rule.user(&user, Some(true)).map(Some)
            };
            board.change("pages.dark", ("both", ""), edit).await
        }
    };
    let (a, b) = tokio::join!(name("a".to_owned()), name("b".to_owned()));
    a.unwrap();
    b.unwrap();
    let rule = board.get("pages.dark").await.unwrap().unwrap().rule.unwrap();
    assert_eq!(rule.users().len(), 2);

    for _ in 0..HISTORY {
        board.change("pages.dark", ("ada", ""), always(true)).await.unwrap();
    }
    let kept = board.history("pages.dark").await.unwrap().len();
    assert_eq!(i64::try_from(kept).unwrap(), HISTORY, "the oldest leave");

    for (by, why) in [("", ""), ("a\nb", ""), ("a", &*"x".repeat(201))] {
        let refused = board.change("pages.dark", (by, why), always(true)).await;
        assert!(matches!(refused, Err(NotKept::Word { .. })), "{by:?} {why:?}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_changes_nothing_and_nobody_but_an_operator_writes() {
    let broker = broker().await;
    let board = board(&broker).await;
    let node = Node::start(&broker, "pages").await;
    board.change("pages.stock", ("ada", ""), always(false)).await.unwrap();
    eventually("it to be heard", async || !node.flag("stock").is_on(None)).await;
    let operator = Nats::open(&broker.url_of(OPERATOR), "operator").await.unwrap();
    let bucket = operator.jetstream().get_key_value(BUCKET).await.unwrap();

    bucket.put("pages.stock", "on, please".into()).await.unwrap();
    board.change("pages.dark", ("ada", ""), always(true)).await.unwrap();
    eventually("what comes later to be heard", async || node.flag("dark").is_on(None)).await;
    assert!(!node.flag("stock").is_on(None), "what held goes on to hold");
    let unreadable = board.get("pages.stock").await;
    assert!(matches!(unreadable, Err(NotKept::Unreadable { .. })), "{unreadable:?}");
    board.change("pages.stock", ("ada", ""), |_| Ok(None)).await.unwrap();
    eventually("it to be as declared", async || node.flag("stock").is_on(None)).await;

    bucket.delete("pages.dark").await.unwrap();
    eventually("it to be as declared", async || !node.flag("dark").is_on(None)).await;
    assert_eq!(board.get("pages.dark").await.unwrap(), None);

    let own = Board::open(node.nats.jetstream()).await.unwrap();
    let refused = own.change("pages.dark", ("pages", ""), always(true)).await;
    assert!(matches!(refused, Err(NotKept::Broker(_))), "{refused:?}");
    assert_eq!(board.get("pages.dark").await.unwrap(), None);
}

/// What `/metrics` says of how long `service` has known nothing.
fn age(service: &str) -> f64 {
    metric("mesh_flags_age_seconds{", &[&format!("service=\"{service}\"")])
}

fn evaluations(flag: &str, answer: &str) -> f64 {
    let labels = [format!("flag=\"{flag}\""), format!("answer=\"{answer}\"")];
    metric("mesh_flags_evaluations_total{", &[&labels[0], &labels[1]])
}

fn metric(name: &str, labels: &[&str]) -> f64 {
    let text = mesh_runtime::metrics::render().unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with(name));
    let line = lines.find(|line| labels.iter().all(|label| line.contains(label)));
    line.and_then(|line| line.rsplit_once(' ')).map_or(0.0, |(_, value)| value.parse().unwrap())
}
