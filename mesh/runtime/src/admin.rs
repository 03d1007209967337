//! The admin port: `/healthz`, `/readyz`, `/metrics`, and crash points in debug builds.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Service, metrics};

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers until `finished`, so that a drain can be watched.
pub(crate) async fn serve(listener: TcpListener, service: Service, finished: CancellationToken) {
    let name = service.name();
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text));
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
        "conditions": conditions,
    });
    (status, Json(body))
}

async fn metrics_text() -> Response {
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
