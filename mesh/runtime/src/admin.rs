//! The admin port: `/healthz`, `/readyz`, `/metrics`, the tables of the service's parts, and crash
//! points in debug builds.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    Service,
    metrics::{self, openmetrics},
    telemetry::level,
};

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers until `finished`, so that a drain can be watched.
pub(crate) async fn serve(listener: TcpListener, service: Service, finished: CancellationToken) {
    let name = service.name();
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/log-level", get(log_level).put(change_log_level))
        .route("/{*table}", get(table));
    #[cfg(debug_assertions)]
    let router = router.route("/crash", axum::routing::post(crash));
    let served = axum::serve(listener, router.with_state(service)).into_future();
    // Dropped rather than drained: a scraper's idle connection must not delay the end.
    if let Some(Err(error)) = finished.run_until_cancelled(served).await {
        tracing::error!(service = name, %error, "admin port failed");
    }
}

async fn healthz(State(service): State<Service>) -> Json<Value> {
    Json(json!({
        "status": "alive",
        "service": service.name(),
        "version": service.version(),
        "instance": service.instance().to_string(),
    }))
}

async fn readyz(State(service): State<Service>) -> (StatusCode, Json<Value>) {
    let readiness = service.health().readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let conditions: serde_json::Map<String, Value> = readiness
        .conditions
        .iter()
        .map(|condition| {
            let mut report = json!({ "state": condition.state.as_str() });
            if !condition.why.is_empty() {
                report["why"] = json!(condition.why);
            }
            (condition.name.to_owned(), report)
        })
        .collect();
    let body = json!({
        "ready": readiness.ready,
        "draining": readiness.draining,
        "service": service.name(),
        "version": service.version(),
        "conditions": conditions,
    });
    (status, Json(body))
}

async fn log_level() -> Response {
    match level::current() {
        Some(level) => Json(json!({ "level": level })).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn change_log_level(text: String) -> Response {
    match level::change(text.trim()) {
        Ok(()) => log_level().await,
        Err(refused) => (StatusCode::BAD_REQUEST, format!("{refused}\n")).into_response(),
    }
}

async fn table(State(service): State<Service>, Path(name): Path<String>) -> Response {
    match service.tables().show(&name) {
        Some(table) => Json(table).into_response(),
        None => {
            let known = json!({ "tables": service.tables().names() });
            (StatusCode::NOT_FOUND, Json(known)).into_response()
        }
    }
}

/// In the format of OpenMetrics for who asks for it, which has exemplars.
async fn metrics_text(headers: HeaderMap) -> Response {
    let asked = |it: &HeaderValue| it.to_str().is_ok_and(|it| it.contains(openmetrics::TYPE));
    if headers.get_all(header::ACCEPT).iter().any(asked) {
        return match metrics::render_open() {
            Ok(text) => ([(header::CONTENT_TYPE, openmetrics::CONTENT_TYPE)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        };
    }
    match metrics::render() {
        Ok(text) => ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(debug_assertions)]
#[derive(serde::Deserialize)]
struct Crash {
    point: String,
}

#[cfg(debug_assertions)]
async fn crash(axum::extract::Query(crash): axum::extract::Query<Crash>) -> (StatusCode, String) {
    if !crash.point.contains(':') {
        return (StatusCode::BAD_REQUEST, "point is LABEL:WHEN\n".to_owned());
    }
    crate::crash::arm(&crash.point);
    (StatusCode::OK, format!("armed {}\n", crash.point))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::ServiceConfig;

    async fn get(service: &Service, path: &str) -> String {
        accepting(service, path, "*/*").await
    }

    async fn accepting(service: &Service, path: &str, accept: &str) -> String {
        let mut stream = TcpStream::connect(service.admin_addr()).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\naccept: {accept}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_come_in_the_format_that_is_asked_for() {
        let config = ServiceConfig { log_level: "off".to_owned(), ..ServiceConfig::default() };
        let service = Service::begin("formats", &config).await.unwrap();

        let old = get(&service, "/metrics").await;
        assert!(old.contains("content-type: text/plain; version=0.0.4"), "{old}");
        assert!(!old.contains("# EOF"), "{old}");

        let asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
        let open = accepting(&service, "/metrics", asked).await;
        assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0"));
        assert!(open.trim_end().ends_with("# EOF"), "{open}");
    }

    #[tokio::test]
    async fn tables_are_answered_beside_the_ports_own_pages() {
        let config = ServiceConfig { log_level: "off".to_owned(), ..ServiceConfig::default() };
        let service = Service::begin("shown", &config).await.unwrap();
        service.admin_table("limits", || json!({ "calls": 7 }));
        service.admin_table("endpoints/payments", || json!([1]));
        service.admin_table("healthz", || json!("hidden"));

        assert!(get(&service, "/limits").await.ends_with("\r\n\r\n{\"calls\":7}"));
        assert!(get(&service, "/endpoints/payments").await.ends_with("[1]"));
        assert!(get(&service, "/endpoints").await.ends_with("{\"payments\":[1]}"));
        assert!(get(&service, "/healthz").await.contains("alive"));
        let lost = get(&service, "/policy").await;
        assert!(lost.starts_with("HTTP/1.1 404"), "{lost}");
        assert!(lost.contains("\"tables\":[\"endpoints/payments\",\"healthz\",\"limits\"]"));
    }
}
