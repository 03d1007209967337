//! What the client of the broker cannot read.

use mesh_runtime::State;
use mesh_testkit::{Database, eventually};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{Broker, Node, STREAM, migrations};

/// Publishes a message whose header holds a carriage return, which no client library would send.
async fn publish_a_lone_return(url: &str, subject: &str) {
    let (user, address) = url.trim_start_matches("nats://").split_once('@').unwrap();
    let (user, pass) = user.split_once(':').unwrap();
    let login = format!(r#"{{"user":"{user}","pass":"{pass}","headers":true,"verbose":false}}"#);
    let header = "NATS/1.0\r\nA: b\rc\r\n\r\n";
    let length = header.len();
    let sent =
        format!("CONNECT {login}\r\nHPUB {subject} {length} {length}\r\n{header}\r\nPING\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    // Sent and read before the connection ends.
    stream.shutdown().await.unwrap();
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_a_message_ended_is_a_reason_to_be_degraded() {
    let broker = Broker::start().await;
    let database = Database::empty(STREAM, migrations()).await;
    let node = Node::start(STREAM, &database, &broker.url()).await;
    node.nats.connected().await;
    let _hears = node.nats.client().subscribe("anything").await.unwrap();
    node.nats.client().flush().await.unwrap();

    publish_a_lone_return(&broker.url(), "anything").await;

    eventually("the end of the client to be shown", async || {
        let conditions = node.service.health().readiness().conditions;
        let broker = conditions.into_iter().find(|it| it.name == "broker").unwrap();
        (broker.state == State::Degraded && broker.why.contains("restart")).then_some(())
    })
    .await;
    node.stop().await;
}
