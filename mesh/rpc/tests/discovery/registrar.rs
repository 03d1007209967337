//! Registering with Consul's agent.
//!
//! Each scenario runs against a stand-in made from the documented HTTP API; where
//! the environment variable `CONSUL` names the program of a real agent, against that as well:
//!
//! ```text
//! cp -r --no-preserve=mode \
//!     "$(go mod download -json github.com/hashicorp/consul@v1.20.6 | jq -r .Dir)" consul
//! cd consul
//! sed -i '/^replace (/,/^)/d; /^replace /d' go.mod    # to directories that are not in it
//! GOFLAGS=-mod=mod go build -o consul .
//! CONSUL=$PWD/consul cargo test -p mesh-rpc --test discovery
//! ```

use std::{net::SocketAddr, time::Duration};

use mesh_rpc::{
    Server,
    discovery::consul::{Check, Consul, Error, Registration},
};
use mesh_runtime::{Secret, Service, ServiceConfig};
use serde_json::json;

use super::{
    agent::{Agent, until_gone},
    support::PATIENCE,
};

const NAME: &str = "orders";
const QUICK: Check = Check::Ttl(Duration::from_secs(1));

#[tokio::test]
async fn a_service_registers_when_it_is_ready() {
    registers_when_ready(&Agent::stand_in().await).await;
}

#[tokio::test]
async fn a_service_registers_with_a_real_agent_when_it_is_ready() {
    if let Some(agent) = Agent::real().await {
        registers_when_ready(&agent).await;
    }
}

async fn registers_when_ready(agent: &Agent) {
    let service = service().await;
    let registration = registration(&service).with_tags(["blue", "eu"]).with_version("1.2.3");
    agent.client().keep(&service, registration.clone());
    // Once it is known to have been looked at, nothing was registered before it was ready.
    assert!(agent.client().look_up(&registration).await.is_err());
    assert!(agent.instances(NAME, 0).await.is_empty());

    service.health().condition("rpc").ready();

    let (instance, status) = agent.instances(NAME, 1).await.remove(0);
    assert_eq!(status, "passing");
    assert_eq!(instance["ID"], registration.id());
    assert_eq!(instance["Address"], "127.0.0.1");
    assert_eq!(instance["Port"], 50051);
    assert_eq!(instance["Tags"], json!(["blue", "eu"]));
    assert_eq!(instance["Meta"], json!({ "version": "1.2.3" }));
}

#[tokio::test]
async fn the_agent_is_told_whether_the_service_is_ready() {
    is_told_of_readiness(&Agent::stand_in().await).await;
}

#[tokio::test]
async fn a_real_agent_is_told_whether_the_service_is_ready() {
    if let Some(agent) = Agent::real().await {
        is_told_of_readiness(&agent).await;
    }
}

async fn is_told_of_readiness(agent: &Agent) {
    let service = service().await;
    agent.client().keep(&service, registration(&service));
    let condition = service.health().condition("rpc");
    condition.ready();
    agent.until(NAME, "passing").await;

    condition.down("the database is away");
    agent.until(NAME, "critical").await;

    condition.ready();
    agent.until(NAME, "passing").await;
}

#[tokio::test]
async fn leaving_is_the_first_thing_of_the_drain() {
    leaves_first(&Agent::stand_in().await).await;
}

#[tokio::test]
async fn leaving_a_real_agent_is_the_first_thing_of_the_drain() {
    if let Some(agent) = Agent::real().await {
        leaves_first(&agent).await;
    }
}

async fn leaves_first(agent: &Agent) {
    let service = service().await;
    agent.client().keep(&service, registration(&service));
    service.health().condition("rpc").ready();
    agent.instances(NAME, 1).await;

    let call = service.hold();
    service.stop();

    agent.instances(NAME, 0).await;
    assert!(!service.stopped().is_cancelled(), "a call is still answered");
    drop(call);
    tokio::time::timeout(PATIENCE, service.finish()).await.expect("ends in time");
}

#[tokio::test]
async fn an_agent_that_forgot_is_told_again() {
    is_told_again(&Agent::stand_in().await, QUICK).await;
}

#[tokio::test]
async fn a_real_agent_that_forgot_is_told_again() {
    if let Some(agent) = Agent::real().await {
        is_told_again(&agent, QUICK).await;
    }
}

async fn is_told_again(agent: &Agent, check: Check) {
    let service = service().await;
    let registration = registration(&service).with_check(check);
    agent.client().keep(&service, registration.clone());
    service.health().condition("rpc").ready();
    agent.instances(NAME, 1).await;

    agent.client().deregister(&registration).await.unwrap();

    agent.instances(NAME, 1).await;
}

#[tokio::test]
async fn an_agent_that_is_away_delays_nothing_and_is_told_when_it_comes() {
    let agent = Agent::stand_in().await;
    let address = agent.http;
    let consul = agent.client();
    drop(agent);
    until_gone(address).await;
    let service = service().await;
    consul.keep(&service, registration(&service));
    service.health().condition("rpc").ready();

    let agent = Agent::stand_in_at(address).await;

    agent.instances(NAME, 1).await;
    drop(agent);
    until_gone(address).await;
    service.stop();
    tokio::time::timeout(PATIENCE, service.finish()).await.expect("ends without the agent");
}

#[tokio::test]
async fn a_real_agent_asks_for_the_health_of_the_server_itself() {
    let Some(agent) = Agent::real().await else { return };
    let service = service().await;
    let address = Server::new(&service, &[]).serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let check = Check::Grpc { every: Duration::from_secs(1) };
    let registration = Registration::of(&service, address).unwrap().with_check(check);
    agent.client().keep(&service, registration);
    agent.until(NAME, "passing").await;

    service.health().condition("database").down("away");
    agent.until(NAME, "critical").await;

    service.health().condition("database").ready();
    agent.until(NAME, "passing").await;
}

#[tokio::test]
async fn the_agent_is_shown_a_token_and_a_refusal_says_why() {
    let agent = Agent::stand_in().await;
    let registration = Registration::new(NAME, "1", ([127, 0, 0, 1], 50051).into()).unwrap();

    let wrong = agent.client().with_token(Secret::new("guess"));
    let error = wrong.register(&registration).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }));
    assert_eq!(error.to_string(), "the Consul agent answered 403 Forbidden: ACL not found");

    let right = agent.client().with_token(Secret::new("secret"));
    right.register(&registration).await.unwrap();
    assert!(!format!("{right:?}").contains("secret"));
}

#[test]
fn what_nobody_can_reach_is_not_registered() {
    let of = |address: &str| Registration::new(NAME, "1", address.parse::<SocketAddr>().unwrap());

    assert!(of("0.0.0.0:50051").is_err());
    assert!(of("[::]:50051").is_err());
    assert!(of("127.0.0.1:0").is_err());
    assert!(Registration::new("orders/../x", "1", ([127, 0, 0, 1], 1).into()).is_err());
    for agent in ["", "consul", "https://consul:8501", "http://consul:8500/v1", "a@b:1"] {
        assert!(Consul::new(agent).is_err(), "{agent}");
    }
    assert!(Consul::new("http://localhost:8500/").is_ok());
}

async fn service() -> Service {
    Service::begin(NAME, &ServiceConfig::default()).await.unwrap()
}

fn registration(service: &Service) -> Registration {
    let address = ([127, 0, 0, 1], 50051).into();
    Registration::of(service, address).unwrap().with_check(QUICK)
}
