//! The amplification guard: only the hop next to a failure repeats a call.
//!
//! Attempts multiply over hops: three services that make four attempts each ask the fourth one 64
//! times. So a server marks an error that it returns when the call behind it was repeated already,
//! or may not be: it asks its caller not to repeat it, with the pushback −1 that every gRPC client
//! understands (`grpc-retry-pushback-ms`, gRFC A6). The caller's own server marks its error in
//! turn.
//!
//! A server runs each handler in a [`scope`]; the client's retry layer leaves a mark in it when it
//! gives up; the server's response path asks [`Scope::mark`]. A handler that answers although its
//! call failed ([`fallback`](crate::fallback)) wipes the mark.
//!
//! ```
//! use http::HeaderMap;
//! use mesh_rpc::guard::{self, Scope};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let scope = Scope::default();
//! scope.enter(async { guard::note_exhausted() }).await;
//!
//! let mut trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "14".parse().unwrap())]);
//! scope.mark(&mut trailers);
//! assert_eq!(trailers["grpc-retry-pushback-ms"], "-1");
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The scope also knows how much the call matters, for those that its handler makes
//! ([`criticality`](mod@crate::criticality)), and what it brought along for them: allowed entries of
//! its baggage, and the state of its trace.
//!
//! Cost: one allocation of some 100 bytes per answered call and a task-local; a failed call to another
//! service sets a flag.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http::{HeaderMap, HeaderValue};
use tonic::Code;

use crate::{carried::Carried, criticality::Criticality, method::code_of, retry::PUSHBACK};

tokio::task_local! {
    static CURRENT: Scope;
}

/// What one answered call has learned of failures behind it.
#[derive(Clone, Debug, Default)]
pub struct Scope(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    exhausted: AtomicBool,
    criticality: Option<Criticality>,
    carried: Carried,
}

impl Scope {
    /// For a call that matters so much, if that is known.
    pub fn new(criticality: Option<Criticality>) -> Self {
        Self::carrying(criticality, Carried::default())
    }

    /// The same, for a call that brought something along.
    pub(crate) fn carrying(criticality: Option<Criticality>, carried: Carried) -> Self {
        Self(Arc::new(Known { exhausted: AtomicBool::new(false), criticality, carried }))
    }

    /// Runs the call's handler: its calls to other services leave their marks here.
    pub fn enter<F: Future>(&self, handler: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), handler)
    }

    /// Runs one step of the call's work, such as a part of its answer's stream.
    pub(crate) fn step<T>(&self, step: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), step)
    }

    /// Returns whether a call of this handler failed after it was repeated, or may not be repeated.
    pub fn is_exhausted(&self) -> bool {
        self.0.exhausted.load(Relaxed)
    }

    /// Asks the caller not to repeat the call, if these headers or trailers tell of a failure that
    /// it would repeat and that a hop behind has repeated.
    ///
    /// What the handler itself says about repetition stays.
    pub fn mark(&self, headers: &mut HeaderMap) {
        if code_of(headers).is_some_and(is_repeatable) && self.is_exhausted() {
            headers.entry(PUSHBACK).or_insert(HeaderValue::from_static("-1"));
        }
    }
}

fn is_repeatable(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
}

/// Runs a call's handler in a scope of its own; see [`Scope::enter`].
pub fn scope<F: Future>(handler: F) -> (Scope, impl Future<Output = F::Output>) {
    let scope = Scope::default();
    let work = scope.enter(handler);
    (scope, work)
}

/// Notes that a call made by this handler failed and must not be repeated further up. Outside of a
/// [`Scope`] it does nothing.
pub fn note_exhausted() {
    let _ = CURRENT.try_with(|scope| scope.0.exhausted.store(true, Relaxed));
}

/// Notes that this handler answers although a call of its failed.
pub(crate) fn wipe() {
    let _ = CURRENT.try_with(|scope| scope.0.exhausted.store(false, Relaxed));
}

/// How much the call matters that this task works for.
pub(crate) fn criticality() -> Option<Criticality> {
    CURRENT.try_with(|scope| scope.0.criticality).ok().flatten()
}

/// Looks at what the call brought along that this task works for.
pub(crate) fn carried<T>(look: impl FnOnce(&Carried) -> T) -> Option<T> {
    CURRENT.try_with(|scope| look(&scope.0.carried)).ok()
}

/// Lets `work`, which is to be spawned, leave its marks with the call that spawns it.
pub(crate) fn inherit<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let scope = CURRENT.try_with(Scope::clone).unwrap_or_default();
    CURRENT.scope(scope, work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Deadline;

    fn trailers(code: Code) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", HeaderValue::from(code as i32));
        headers
    }

    fn pushback(scope: &Scope, code: Code) -> Option<HeaderValue> {
        let mut trailers = trailers(code);
        scope.mark(&mut trailers);
        trailers.remove(PUSHBACK)
    }

    #[tokio::test]
    async fn only_a_failure_that_would_be_repeated_is_marked() {
        let (scope, handler) = scope(async { note_exhausted() });
        assert_eq!(pushback(&scope, Code::Unavailable), None, "nothing is known yet");
        handler.await;

        assert_eq!(pushback(&scope, Code::Unavailable).unwrap(), "-1");
        assert_eq!(pushback(&scope, Code::DeadlineExceeded).unwrap(), "-1");
        assert_eq!(pushback(&scope, Code::Ok), None);
        assert_eq!(pushback(&scope, Code::NotFound), None);
    }

    #[tokio::test]
    async fn what_the_handler_says_about_repetition_stays() {
        let (scope, handler) = scope(async { note_exhausted() });
        handler.await;
        let mut trailers = trailers(Code::ResourceExhausted);
        trailers.insert(PUSHBACK, HeaderValue::from_static("20"));

        scope.mark(&mut trailers);

        assert_eq!(trailers[PUSHBACK], "20");
    }

    #[tokio::test]
    async fn a_spawned_part_of_a_call_leaves_its_mark_with_the_call() {
        let (scope, handler) = scope(async {
            Deadline::spawn(async { note_exhausted() }).await.unwrap();
        });

        handler.await;

        assert!(scope.is_exhausted());
    }
}
