//! Calls that are not sent because no endpoint takes them.

use std::{error::Error, fmt, sync::Arc};

use tonic::{Code, Status};

use super::pool::Pool;
use crate::transport;

/// Why a call was not sent; the source of the status. Finding it tells a fallback that nothing
/// happened:
///
/// ```
/// use mesh_rpc::balance::{Absence, NoEndpoint};
///
/// fn is_circuit_open(status: &tonic::Status) -> bool {
///     NoEndpoint::of(status).is_some_and(|refusal| refusal.absence() == Absence::CircuitOpen)
/// }
/// ```
#[derive(Debug)]
pub struct NoEndpoint {
    target: Arc<str>,
    absence: Absence,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The target has no addresses.
    NoAddress,
    /// No endpoint is connected.
    NotConnected,
    /// Endpoints are out for what they answered, or could not be reached for a while.
    CircuitOpen,
}

impl Absence {
    /// The reason's name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAddress => "no address",
            Self::NotConnected => "not connected",
            Self::CircuitOpen => "circuit open",
        }
    }
}

impl NoEndpoint {
    /// Returns the refusal that a status comes from, if it does.
    pub fn of(status: &Status) -> Option<&Self> {
        let mut next = status.source();
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// Returns the target's name.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns what is missing.
    pub fn absence(&self) -> Absence {
        self.absence
    }
}

impl fmt::Display for NoEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no ready endpoint of {}: {}", self.target, self.absence.as_str())
    }
}

impl Error for NoEndpoint {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self.absence {
            Absence::CircuitOpen => transport::CIRCUIT_OPEN,
            Absence::NoAddress | Absence::NotConnected => transport::NO_ENDPOINT,
        })
    }
}

/// Nobody takes the call.
pub(super) fn absent(pool: &Pool) -> Status {
    let (refusal, error) = refuse(pool);
    match error {
        Some(error) => {
            let code = match error.code() {
                Code::Unauthenticated => Code::Unauthenticated,
                _ => Code::Unavailable,
            };
            let message = format!("no ready endpoint: {}", error.message());
            transport::refused_because(code, &message, refusal)
        }
        None => {
            let message = format!("no ready endpoint: {}", refusal.absence.as_str());
            transport::refused_because(Code::Unavailable, &message, refusal)
        }
    }
}

/// The deadline passed before anybody took the call.
pub(super) fn late(pool: &Pool) -> Status {
    let (refusal, _) = refuse(pool);
    transport::refused_because(Code::DeadlineExceeded, "deadline exceeded", refusal)
}

fn refuse(pool: &Pool) -> (NoEndpoint, Option<Arc<Status>>) {
    let (open, endpoints, error) = pool.trouble();
    let absence = match (open, endpoints) {
        (_, 0) => Absence::NoAddress,
        (true, _) => Absence::CircuitOpen,
        (false, _) => Absence::NotConnected,
    };
    pool.metrics.refused(absence.as_str());
    (NoEndpoint { target: Arc::clone(&pool.target), absence }, error)
}
