//! Finding services through Consul's DNS interface: by the shape of its answers, and for real.

use mesh_rpc::discovery::{Endpoints, Settings, Source, State, consul::Registration};
use mesh_testkit::nameserver::{Nameserver, RecordType, a, srv};

use super::{
    agent::Agent,
    support::{eager, until},
};

const SERVICE: &str = "_orders._tcp.service.consul";
/// Consul writes an address as a name: 7f000001 is 127.0.0.1.
const ONE: &str = "7f000001.addr.dc1.consul";
const TWO: &str = "7f000002.addr.dc1.consul";

#[tokio::test]
async fn instances_of_consul_are_found_by_their_srv_records() {
    let dns = Nameserver::start(&["consul"]).await;
    dns.set(ONE, 0, &[a("127.0.0.1")]).await;
    dns.set(TWO, 0, &[a("127.0.0.2")]).await;
    dns.set(SERVICE, 0, &[srv(1, 8001, ONE), srv(1, 8002, ONE), srv(1, 8001, TWO)]).await;
    let endpoints = Endpoints::follow_with(&dns.source(SERVICE), eager());
    until(&endpoints, State::Fresh, &["127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.2:8001"]).await;

    // An instance whose check fails is left out.
    dns.set(SERVICE, 0, &[srv(1, 8002, ONE)]).await;
    until(&endpoints, State::Fresh, &["127.0.0.1:8002"]).await;
    assert!(dns.asked(ONE, RecordType::A).is_empty(), "Consul brings addresses along");

    // A service without instances is NXDOMAIN.
    dns.set(SERVICE, 0, &[]).await;
    until(&endpoints, State::Gone, &[]).await;
}

#[tokio::test]
async fn instances_are_found_through_a_real_agent() {
    let Some(agent) = Agent::real().await else { return };
    let consul = agent.client();
    let one = Registration::new("orders", "1", ([127, 0, 0, 1], 8001).into()).unwrap();
    let two = Registration::new("orders", "2", ([127, 0, 0, 2], 8002).into()).unwrap();
    consul.register(&one).await.unwrap();
    consul.register(&two.clone().with_tags(["blue"])).await.unwrap();
    let follow = |name: &str, settings: Settings| {
        let source: Source = format!("dns://{}/{name}", agent.dns).parse().unwrap();
        Endpoints::follow_with(&source, settings)
    };
    let by_rfc = follow(SERVICE, eager());
    let by_name = follow("orders.service.consul", eager());
    let tagged = follow("_orders._blue.service.consul", eager());
    for all in [&by_rfc, &by_name] {
        until(all, State::Fresh, &["127.0.0.1:8001", "127.0.0.2:8002"]).await;
    }
    until(&tagged, State::Fresh, &["127.0.0.2:8002"]).await;

    consul.tell(&one, Err("not well")).await.unwrap();
    until(&by_rfc, State::Fresh, &["127.0.0.2:8002"]).await;

    consul.tell(&one, Ok(())).await.unwrap();
    until(&by_rfc, State::Fresh, &["127.0.0.1:8001", "127.0.0.2:8002"]).await;

    consul.deregister(&one).await.unwrap();
    consul.deregister(&two).await.unwrap();
    until(&by_rfc, State::Gone, &[]).await;

    // Consul has no TTL unless it is told one, and lets no time pass by itself.
    let usual = follow(SERVICE, Settings::default());
    consul.register(&one).await.unwrap();
    usual.connect_failed();
    until(&usual, State::Fresh, &["127.0.0.1:8001"]).await;
    assert!(usual.report().next.unwrap().as_secs_f64() < 5.6, "{}", usual.report());
}
