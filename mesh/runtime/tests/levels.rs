//! What is logged, changed while a process runs. A process of its own: telemetry is set up once.

mod support;

use std::time::Duration;

use mesh_runtime::{Service, ServiceConfig, Signal};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use support::Collector;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_logged_is_changed_through_the_admin_port() {
    let collector = Collector::start().await;
    collector.open();
    let config = ServiceConfig {
        otlp_endpoint: Some(collector.endpoint.clone()),
        otlp_signals: vec![Signal::Logs],
        log_level: "warn".to_owned(),
        ..ServiceConfig::default()
    };
    let service = Service::begin("levels", &config).await.unwrap();
    let say = |text: &'static str| tracing::info!("{text}");
    let ask = async |method: &str, level: &str| {
        let mut stream = TcpStream::connect(service.admin_addr()).await.unwrap();
        let length = level.len();
        let request = format!(
            "{method} /log-level HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{level}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };

    say("before");
    assert!(ask("GET", "").await.ends_with("{\"level\":\"warn\"}"));
    let changed = ask("PUT", "error,levels=info\n").await;
    assert!(changed.ends_with("{\"level\":\"error,levels=info\"}"), "{changed}");
    say("between");
    for wrong in ["loud", "levels=loud", ""] {
        let refused = ask("PUT", wrong).await;
        assert!(refused.starts_with("HTTP/1.1 400"), "{wrong}: {refused}");
        assert!(refused.contains("off, error, warn, info, debug or trace"), "{refused}");
    }
    assert!(ask("GET", "").await.ends_with("{\"level\":\"error,levels=info\"}"));
    ask("PUT", "warn").await;
    say("after");
    tracing::warn!("end");

    let said = tokio::time::timeout(LIMIT, said_until(&collector, "end")).await.unwrap();
    assert_eq!(said, ["between", "end"]);
    assert!(collector.received().spans.is_empty() && collector.received().metrics.is_empty());
}

/// What this test has said, when `last` has come.
async fn said_until(collector: &Collector, last: &str) -> Vec<String> {
    loop {
        let lines =
            collector.received().logs.into_iter().filter_map(|line| match line.body?.value? {
                Value::StringValue(text) => Some(text),
                _ => None,
            });
        let ours = ["before", "between", "after", "end"];
        let said: Vec<_> = lines.filter(|line| ours.contains(&line.as_str())).collect();
        if said.iter().any(|line| line == last) {
            return said;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
