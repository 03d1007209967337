//! The other side, asked the same after the client was answered, so that it is known whether it would
//! have said the same. Nobody waits for it, and what it says goes nowhere.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use mesh_runtime::trace;
use serde_json::Value;
use tonic::body::Body;
use tracing::Instrument as _;

use super::{
    Crossing, Side,
    compare::differences,
    cross,
    metrics::{self, Shadow},
};
use crate::{door::Front, json, story::Story, whole};

/// What one side has said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    status: StatusCode,
    bytes: Bytes,
}

/// How the two compare.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Equal,
    Status,
    /// At these places, as JSON pointers.
    Places(Vec<String>),
}

/// Begins to ask the other side, if this request is one that is asked twice and there is room.
pub(super) fn begin(
    front: &Arc<Front>,
    crossing: &Crossing,
    head: &Parts,
    story: &Story,
    answered: &Response<Body>,
) {
    let Some(said) = Said::of(answered).filter(|_| crossing.is_shadowed) else { return };
    let Some(legacy) = &front.legacy else { return };
    let Ok(room) = Arc::clone(&legacy.shadows).try_acquire_owned() else {
        metrics::shadow(&crossing.route.name, Shadow::Dropped);
        return;
    };
    // A part of the same trace, whose request's span ends without waiting for it.
    let name = Arc::clone(&crossing.route.name);
    let span = trace::begin(
        trace::current(),
        || tracing::info_span!(parent: None, "shadow", service = "gateway", http.route = &*name),
    );
    let (front, crossing) = (Arc::clone(front), crossing.clone());
    let (head, story) = (head.clone(), story.clone());
    let work = async move {
        let other = other(&front, &crossing, &head, &story).await;
        tell(&crossing, &said, other);
        drop(room);
    };
    tokio::spawn(work.instrument(span));
}

/// What the other side says; nothing if it fails.
async fn other(
    front: &Arc<Front>,
    crossing: &Crossing,
    head: &Parts,
    story: &Story,
) -> Option<Said> {
    match crossing.side {
        Side::New => {
            let answer = cross::ask(crossing, head, Bytes::new(), story).await.ok()?;
            Said { status: answer.status, bytes: answer.bytes }.good()
        }
        Side::Legacy => {
            let route = front.transcoder.route(&head.method, head.uri.path()).ok()?;
            let answer = json::repeat(front, &route, head, story).await;
            Said::of(&answer.unwrap_or_else(|failure| failure.response(story)))
        }
    }
}

/// Counts how it ended, and says where the two differ; never what stands there.
fn tell(crossing: &Crossing, said: &Said, other: Option<Said>) {
    let route = &*crossing.route.name;
    let Some(other) = other else { return metrics::shadow(route, Shadow::Failed) };
    let (new, old) = match crossing.side {
        Side::New => (said, &other),
        Side::Legacy => (&other, said),
    };
    let places = match said.compare(&other, crossing) {
        Verdict::Equal => return metrics::shadow(route, Shadow::Equal),
        Verdict::Status => String::new(),
        Verdict::Places(places) => places.join(" "),
    };
    metrics::shadow(route, Shadow::Different);
    let backend = &*crossing.route.backend.settings.name;
    let (new, old) = (new.status.as_u16(), old.status.as_u16());
    tracing::warn!(route, backend, places, new_status = new, old_status = old, "answers differ");
}

impl Said {
    /// What an answer says, if there is something to compare.
    fn of(answer: &Response<Body>) -> Option<Self> {
        let bytes = whole::bytes(answer)?.clone();
        Self { status: answer.status(), bytes }.good()
    }

    /// A failure says nothing of what would have been said.
    fn good(self) -> Option<Self> {
        let is_failure =
            self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS;
        (!is_failure).then_some(self)
    }

    fn compare(&self, other: &Self, crossing: &Crossing) -> Verdict {
        if self.status != other.status {
            return Verdict::Status;
        }
        // Errors are worded as each likes.
        if !self.status.is_success() || self.bytes == other.bytes {
            return Verdict::Equal;
        }
        let read = |said: &Self| serde_json::from_slice::<Value>(&said.bytes).ok();
        let places = match (read(self), read(other)) {
            (Some(a), Some(b)) => differences(&a, &b, &crossing.route.ignored),
            _ => vec![String::new()],
        };
        if places.is_empty() { Verdict::Equal } else { Verdict::Places(places) }
    }
}
