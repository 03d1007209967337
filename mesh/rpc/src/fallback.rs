//! Answering although a call failed: a fallback is ordinary code, and can be seen.
//!
//! ```
//! use http::Response;
//! use mesh_rpc::fallback::{Degraded, degraded};
//! use tonic::Status;
//!
//! # fn last_known() -> Option<String> { Some("a mug".to_owned()) }
//! /// Answers from the last known page while the catalog cannot be asked.
//! fn page(asked: Result<String, Status>) -> Result<tonic::Response<String>, Status> {
//!     match asked {
//!         Ok(page) => Ok(tonic::Response::new(page)),
//!         Err(status) => match (Degraded::of("catalog", &status), last_known()) {
//!             (Some(degraded), Some(page)) => Ok(degraded.answer(page)),
//!             _ => Err(status),
//!         },
//!     }
//! }
//! # let down = tonic::Status::from_error(Box::new(std::io::Error::other("down")));
//! # assert!(page(Err(down)).is_err());
//! ```
//!
//! **Never for what is then acted upon**: not for a price that is charged, not for stock that is
//! promised, not for a permission that is granted. An old answer is for being looked at. Nor for a
//! call that changes something: what may have been done is not answered by something else.

use std::sync::LazyLock;

use opentelemetry::{KeyValue, metrics::Counter};
use tonic::{
    Code, Response, Status,
    metadata::{MetadataMap, MetadataValue},
};

use crate::{
    guard,
    refusal::{Refusal, refusal},
};

/// Metadata of an answer that is not what it would be if all were well: which service was missing,
/// and why.
pub const DEGRADED: &str = "x-mesh-degraded";

static ANSWERS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.degraded_answers")
        .with_description("Answers given although a call that they need failed")
        .build()
});

/// Leave to answer without a service that could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degraded {
    missing: &'static str,
    refusal: Option<Refusal>,
    code: Code,
}

impl Degraded {
    /// Gives leave if `status` says that `missing` could not be asked: the stack refused the call
    /// for now ([`Refusal::is_temporary`]), or it is UNAVAILABLE, or did not answer in time. What the service itself
    /// answered gives none.
    pub fn of(missing: &'static str, status: &Status) -> Option<Self> {
        let code = status.code();
        let refusal = refusal(status);
        let silent = matches!(code, Code::Unavailable | Code::DeadlineExceeded);
        (refusal.is_some_and(Refusal::is_temporary) || silent).then_some(Self {
            missing,
            refusal,
            code,
        })
    }

    /// Why the stack refused the call, if it did.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Answers with `message`, marked: `x-mesh-degraded: catalog CIRCUIT_OPEN`.
    ///
    /// Counted in `mesh.rpc.degraded_answers`.
    pub fn answer<T>(self, message: T) -> Response<T> {
        let mut response = Response::new(message);
        self.mark(&mut response);
        response
    }

    /// Marks and counts an answer that has been built already.
    pub fn mark<T>(self, response: &mut Response<T>) {
        let why = self.refusal.map_or_else(|| crate::method::code_name(self.code), Refusal::as_str);
        if let Ok(value) = MetadataValue::try_from(format!("{} {why}", self.missing)) {
            response.metadata_mut().append(DEGRADED, value);
        }
        tracing::debug!(missing = self.missing, why, "a degraded answer is given");
        ANSWERS.add(1, &[KeyValue::new("missing", self.missing), KeyValue::new("reason", why)]);
        // If the handler fails after all, it is for a reason of its own.
        guard::wipe();
    }
}

/// Tells which services were missing from an answer, and why: `catalog CIRCUIT_OPEN`.
pub fn degraded(metadata: &MetadataMap) -> impl Iterator<Item = &str> {
    metadata.get_all(DEGRADED).iter().filter_map(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport;

    #[test]
    fn only_a_service_that_could_not_be_asked_may_be_done_without() {
        let of = |status: &Status| Degraded::of("catalog", status);

        let open = transport::refused(Refusal::CircuitOpen, "open");
        assert_eq!(of(&open).unwrap().refusal(), Some(Refusal::CircuitOpen));
        assert!(of(&transport::refused(Refusal::Bulkhead, "full")).is_some());
        assert!(of(&transport::gave_up(Code::DeadlineExceeded, "late")).is_some());
        assert!(of(&transport::gave_up(Code::NotFound, "no such product")).is_none());
        assert!(of(&transport::gave_up(Code::ResourceExhausted, "of its own")).is_none());
    }

    #[tokio::test]
    async fn a_degraded_answer_says_so_is_counted_and_wipes_the_mark() {
        let open = transport::refused(Refusal::CircuitOpen, "open");
        let (scope, handler) = guard::scope(async {
            guard::note_exhausted();
            Degraded::of("tested", &open).unwrap().answer("a mug")
        });

        let answer = handler.await;

        assert_eq!(degraded(answer.metadata()).collect::<Vec<_>>(), ["tested CIRCUIT_OPEN"]);
        assert!(!scope.is_exhausted());
        let text = mesh_runtime::metrics::render().unwrap();
        let line = text.lines().find(|line| line.contains(r#"missing="tested""#)).unwrap();
        assert!(line.contains("mesh_rpc_degraded_answers") && line.ends_with(" 1"), "{line}");
    }
}
