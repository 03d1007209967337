//! The parts of a page: asked for within a limit, and marked by how they came about.

use std::time::Duration;

use mesh_rpc::{Code, Refusal, code_name, reason, refusal};
use shop::storefront::v1::{Part, PartState};
use tonic::{Response, Status};

use crate::cache::Cached;

/// What became of a part: what it shows, if it is there, and its mark.
pub struct Shown<T> {
    pub what: Option<T>,
    pub mark: Part,
}

impl<T> Shown<T> {
    /// A part that nobody asked for.
    pub fn not_asked(name: &str) -> Self {
        Self { what: None, mark: mark(name, PartState::NotAsked, "") }
    }

    /// A part that operators switched off.
    pub fn switched_off(name: &str) -> Self {
        Self { what: None, mark: mark(name, PartState::NotAsked, "SWITCHED_OFF") }
    }

    /// A part that a neighbour was asked for just now.
    pub fn asked<R>(
        name: &str,
        answer: Result<Response<R>, Status>,
        read: impl FnOnce(R) -> T,
    ) -> Self {
        match answer {
            Ok(answer) => Self {
                what: Some(read(answer.into_inner())),
                mark: mark(name, PartState::Fresh, ""),
            },
            Err(status) => Self::missing(name, &status),
        }
    }

    /// A part that may be an older answer.
    pub fn cached(name: &str, answer: Result<Cached<T>, Status>) -> Self {
        match answer {
            Ok(Cached { value, age, stale }) => {
                let state = if stale.is_some() { PartState::Stale } else { PartState::Fresh };
                let mut mark = mark(name, state, stale.as_deref().unwrap_or_default());
                mark.age = Some(duration(age));
                Self { what: Some(value), mark }
            }
            Err(status) => Self::missing(name, &status),
        }
    }

    /// A part that cannot be had.
    pub fn missing(name: &str, status: &Status) -> Self {
        tracing::debug!(part = name, code = code_name(status.code()), "a part is missing");
        Self { what: None, mark: mark(name, PartState::Missing, &why(status)) }
    }
}

/// Why an answer is not there: the callee's reason, or else why nobody was asked, such as CIRCUIT_OPEN,
/// or else the code.
pub fn why(status: &Status) -> String {
    let unasked = || refusal(status).filter(|_| status.code() == Code::Unavailable);
    let here = || unasked().map_or_else(|| code_name(status.code()), Refusal::as_str);
    reason(status).unwrap_or_else(|| here().to_owned())
}

fn mark(name: &str, state: PartState, reason: &str) -> Part {
    let (name, reason) = (name.to_owned(), reason.to_owned());
    Part { name, state: state.into(), age: Some(duration(Duration::ZERO)), reason }
}

fn duration(time: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let nanos = i32::try_from(time.subsec_nanos()).expect("less than a billion");
    prost_types::Duration { seconds, nanos }
}
