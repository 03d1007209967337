//! What the gateway answers itself: its health, that of the services, and what can be asked here.

use bytes::Bytes;
use http::{Method, Response, StatusCode, request::Parts};
use mesh_transcode::Refusal;
use serde_json::{Value, json};
use tonic::body::Body;

use crate::{docs::File, door::Front, health::Health, whole};

const OPENAPI: &str = "/openapi.json";
const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";
const HEALTH: &str = "/health";
const ALL: [&str; 4] = [OPENAPI, HEALTHZ, READYZ, HEALTH];

/// What a path without a page is called.
pub(crate) const UNKNOWN: &str = "-";

/// Pages that are there whatever the contracts say.
#[derive(Debug)]
pub(crate) struct Pages {
    openapi: Bytes,
    health: Health,
}

impl Pages {
    pub(crate) fn new(openapi: &Value, health: Health) -> Self {
        Self { openapi: openapi.to_string().into(), health }
    }

    /// What a path is called in the log.
    pub(crate) fn template(&self, path: &str) -> &'static str {
        let own = ALL.into_iter().find(|page| *page == path);
        own.or_else(|| File::find(path).map(|file| file.path)).unwrap_or(UNKNOWN)
    }

    /// The page, if there is one; all of them are only read.
    pub(crate) async fn answer(
        &self,
        front: &Front,
        head: &Parts,
    ) -> Option<Result<Response<Body>, Refusal>> {
        let path = self.template(head.uri.path());
        if path == UNKNOWN {
            return None;
        }
        if head.method != Method::GET {
            return Some(Err(Refusal::MethodNotAllowed(vec![Method::GET])));
        }
        if let Some(file) = File::find(path) {
            return Some(Ok(file.answer()));
        }
        Some(Ok(match path {
            OPENAPI => whole::json(StatusCode::OK, self.openapi.clone()),
            HEALTHZ => shown(StatusCode::OK, &json!({ "status": "alive" })),
            READYZ => {
                let ready = front.service.health().readiness().ready;
                let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                shown(status, &json!({ "ready": ready }))
            }
            _ => {
                let report = self.health.report().await;
                shown(report.status, &report.body)
            }
        }))
    }
}

/// Whether an orchestrator asks there, as often as it likes.
pub(crate) fn is_probe(path: &str) -> bool {
    [HEALTHZ, READYZ].contains(&path)
}

/// Whether something is at `path` or below it.
pub(crate) fn has(path: &str) -> bool {
    let below =
        |page: &str| page.strip_prefix(path).is_some_and(|it| it.is_empty() || it.starts_with('/'));
    ALL.into_iter().any(below) || File::find(path).is_some()
}

fn shown(status: StatusCode, body: &Value) -> Response<Body> {
    whole::json(status, body.to_string())
}
