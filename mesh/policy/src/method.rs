//! What a contract says about one method, and about one service.

use std::{sync::Arc, time::Duration};

use crate::{Access, Deprecation, RetryCodes};

/// How one RPC may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// `package.Service/Method`.
    pub path: Arc<str>,
    /// The deadline of a call that comes without one.
    pub default_deadline: Duration,
    /// The longest deadline that is honoured.
    pub max_deadline: Duration,
    /// Whether the request carries the key that makes it idempotent.
    pub request_id: RequestId,
    /// What protobuf's own `idempotency_level` says.
    pub idempotency: Idempotency,
    /// Answers after which the same request may be sent again; never any for a method that is not
    /// safe to repeat or whose request is a stream.
    pub retry_codes: RetryCodes,
    /// Whether a second copy of a slow call may be under way beside the first.
    pub hedging: bool,
    /// What a server does with the call when it has too many.
    pub criticality: Criticality,
    /// Whether the server answers with a stream.
    pub server_streaming: bool,
    /// Whether the client sends a stream.
    pub client_streaming: bool,
    /// Who may call it.
    pub access: Access,
    /// When it ends, if that is announced.
    pub deprecation: Option<Deprecation>,
}

impl Method {
    /// Whether either side sends a stream.
    pub fn is_streaming(&self) -> bool {
        self.server_streaming || self.client_streaming
    }

    /// The service's name: the part of the path before the `/`.
    pub fn service(&self) -> &str {
        self.path.split_once('/').map_or(&*self.path, |(service, _)| service)
    }
}

/// What holds for every RPC of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `package.Service`.
    pub name: Arc<str>,
    /// The team that answers for it.
    pub owner: String,
    /// Calls that one process works on at once, at most, streams until their end; none if the
    /// contract sets no bound.
    pub concurrency: Option<usize>,
}

/// Whether a request carries a `request_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// The RPC changes nothing.
    NotNeeded,
    /// The request must carry it.
    Required,
    /// The RPC changes something and is safe to repeat without one.
    Exempt,
}

/// Protobuf's `idempotency_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// The contract does not say.
    Unknown,
    /// The RPC has no side effects.
    NoSideEffects,
    /// The RPC has the same effect when it is repeated.
    Idempotent,
}

/// How much a call matters when a server has too many: the greater are refused later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criticality {
    /// Refused first: nobody waits for it, or somebody can do without.
    Sheddable,
    /// Refused before what is critical; what calls are that say nothing.
    #[default]
    Default,
    /// Refused last: somebody loses something when it is not answered.
    Critical,
}

impl Criticality {
    /// All of them, the first to be refused first.
    pub const ALL: [Self; 3] = [Self::Sheddable, Self::Default, Self::Critical];

    /// Its name in metadata, metrics and tables: `critical`, `default` or `sheddable`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Default => "default",
            Self::Sheddable => "sheddable",
        }
    }
}

impl Idempotency {
    /// Its name in tables.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NoSideEffects => "no side effects",
            Self::Idempotent => "idempotent",
        }
    }
}

impl RequestId {
    /// Its name in tables.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotNeeded => "not needed",
            Self::Required => "required",
            Self::Exempt => "exempt",
        }
    }
}
