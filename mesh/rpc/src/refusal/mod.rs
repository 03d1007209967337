//! Why the stack refused a call, on either side: one list of reasons that a caller can decide by.
//!
//! A refusal of the caller's own stack was never sent ([`Disposition::NotSent`]), costs no budget
//! and is not repeated: the layer that made it has waited as long as waiting made sense. One of the
//! callee's stack comes over the wire as the reason of a `google.rpc.ErrorInfo` of the domain
//! `mesh`. If it was made before the handler began, it says so in the header `x-mesh-refusal`, and
//! the call is [`Disposition::Unprocessed`]: it may be repeated whatever it does.
//!
//! That header counts for one hop. The [`Server`](crate::Server) alone sets it and takes it out of
//! what handlers answer, and the [`Channel`](crate::Channel) takes it out of what it hands on: a
//! handler that returns an error of its own callee does not claim that it did nothing itself. Nor
//! is it set on a call that Envoy has sent before (`x-envoy-attempt-count`), of which an earlier
//! attempt may have been processed.
//!
//! ```
//! use mesh_rpc::refusal::{Refusal, refusal};
//!
//! fn explain(status: &tonic::Status) -> &'static str {
//!     match refusal(status) {
//!         Some(Refusal::CircuitOpen | Refusal::NoEndpoint) => "it is down, and we know",
//!         Some(Refusal::Overloaded | Refusal::RateLimited) => "too much is going on",
//!         Some(_) => "the stack said no",
//!         None => "it said so itself",
//!     }
//! }
//! ```

use std::{error::Error, fmt, mem, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::StatusExt as _;

use crate::{Disposition, fault::STACK, method::code_of, transport};

/// Carries a refusal before the handler began from the callee's stack, and
/// [`Refusal::BudgetSpent`] beside the answer that was not asked for again.
const HEADER: HeaderName = HeaderName::from_static(HEADER_NAME);
const HEADER_NAME: &str = "x-mesh-refusal";

/// Why the stack refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Every endpoint has been failing; it is not asked again before its breaker lets a probe by.
    CircuitOpen,
    /// No endpoint is known, or none became ready in time.
    NoEndpoint,
    /// Too many calls to this target are under way.
    Bulkhead,
    /// The call failed and would have been repeated, but what repeating may cost is spent.
    BudgetSpent,
    /// The deadline had passed, or was too near, before the call could be sent, or before the
    /// callee began with it.
    Deadline,
    /// The callee has too much to do.
    Overloaded,
    /// Too many calls of this service are under way at the callee.
    ServiceBusy,
    /// The caller, or all callers together, call too often.
    RateLimited,
    /// The callee takes no more calls, because it is stopping.
    Stopping,
    /// The callee does not believe who calls; the status' [`reason`](crate::reason) says more.
    Unauthenticated,
    /// The callee knows who calls, and that they may not; the status' [`reason`](crate::reason) is
    /// this one's.
    AccessDenied,
    /// The callee has no such service.
    ServiceUnknown,
    /// The call's metadata is larger than the callee reads.
    MetadataTooLarge,
    /// A message of the call is larger than the callee reads.
    MessageTooLarge,
    /// A message of the call is none of its type, or its framing is not gRPC's.
    MessageMalformed,
    /// The deadline passed while the callee worked on the call.
    DeadlineExceeded,
    /// The callee stopped while it worked on the call.
    Stopped,
    /// The user's token expired while the callee streamed its answer.
    TokenExpired,
    /// The user's token was revoked while the callee streamed its answer.
    TokenRevoked,
}

/// Whether a handler may have begun with a call that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handler {
    NotBegun,
    MayHaveBegun,
}

impl Refusal {
    /// All of them: those of the caller's side first, those with which a call has been begun last.
    pub const ALL: [Self; 19] = [
        Self::CircuitOpen,
        Self::NoEndpoint,
        Self::Bulkhead,
        Self::BudgetSpent,
        Self::Deadline,
        Self::Overloaded,
        Self::ServiceBusy,
        Self::RateLimited,
        Self::Stopping,
        Self::Unauthenticated,
        Self::AccessDenied,
        Self::ServiceUnknown,
        Self::MetadataTooLarge,
        Self::MessageTooLarge,
        Self::MessageMalformed,
        Self::DeadlineExceeded,
        Self::Stopped,
        Self::TokenExpired,
        Self::TokenRevoked,
    ];

    /// The list.
    ///
    /// Too much is RESOURCE_EXHAUSTED and not UNAVAILABLE, which proxies repeat by default: more
    /// calls are the last thing that an overloaded server needs.
    fn row(self) -> (&'static str, Code, Handler, &'static str) {
        use Code::ResourceExhausted as TooMuch;
        use Code::{
            DeadlineExceeded, InvalidArgument, PermissionDenied, Unavailable, Unimplemented,
        };
        use Handler::{MayHaveBegun, NotBegun};
        match self {
            Self::CircuitOpen => ("CIRCUIT_OPEN", Unavailable, NotBegun, "every endpoint fails"),
            Self::NoEndpoint => ("NO_ENDPOINT", Unavailable, NotBegun, "no endpoint is ready"),
            Self::Bulkhead => ("BULKHEAD", TooMuch, NotBegun, "too many calls are under way"),
            Self::BudgetSpent => {
                ("BUDGET_SPENT", Unavailable, MayHaveBegun, "the call may not be repeated")
            }
            Self::Deadline => {
                ("DEADLINE_PASSED", DeadlineExceeded, NotBegun, "the deadline has passed")
            }
            Self::Overloaded => ("OVERLOADED", TooMuch, NotBegun, "the server is overloaded"),
            Self::ServiceBusy => {
                ("SERVICE_BUSY", TooMuch, NotBegun, "too many calls of this service are under way")
            }
            Self::RateLimited => ("RATE_LIMITED", TooMuch, NotBegun, "too many calls"),
            Self::Stopping => ("STOPPING", Unavailable, NotBegun, "the server is stopping"),
            Self::Unauthenticated => {
                ("UNAUTHENTICATED", Code::Unauthenticated, NotBegun, "nobody knows the caller")
            }
            Self::AccessDenied => {
                ("ACCESS_DENIED", PermissionDenied, NotBegun, "the caller may not do this")
            }
            Self::ServiceUnknown => {
                ("SERVICE_UNKNOWN", Unimplemented, NotBegun, "no such service here")
            }
            Self::MetadataTooLarge => {
                ("METADATA_TOO_LARGE", TooMuch, NotBegun, "the metadata is larger than 32 KiB")
            }
            // A handler reads a stream itself.
            Self::MessageTooLarge => {
                ("MESSAGE_TOO_LARGE", TooMuch, MayHaveBegun, "the message is larger than 4 MiB")
            }
            Self::MessageMalformed => {
                ("MESSAGE_MALFORMED", InvalidArgument, MayHaveBegun, "the message cannot be read")
            }
            Self::DeadlineExceeded => {
                ("DEADLINE_EXCEEDED", DeadlineExceeded, MayHaveBegun, "deadline exceeded")
            }
            Self::Stopped => {
                ("STOPPED", Unavailable, MayHaveBegun, "the server stopped before it had answered")
            }
            Self::TokenExpired => (
                "TOKEN_EXPIRED",
                Code::Unauthenticated,
                MayHaveBegun,
                "the user's token has expired: refresh it, and ask again",
            ),
            Self::TokenRevoked => (
                "TOKEN_REVOKED",
                Code::Unauthenticated,
                MayHaveBegun,
                "the user's token was revoked: sign in, and ask again",
            ),
        }
    }

    /// Its name in details, metrics, events and headers: `UPPER_SNAKE_CASE`.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The code that says it to callers who know no more.
    pub fn code(self) -> Code {
        self.row().1
    }

    /// Whether by definition no handler began with the call: a repetition does no harm.
    pub fn is_unprocessed(self) -> bool {
        self.row().2 == Handler::NotBegun
    }

    /// What it is called in a sentence.
    pub fn message(self) -> &'static str {
        self.row().3
    }

    /// Whether the same call may be answered at another time or by another endpoint; else it is the
    /// call that is at fault.
    pub fn is_temporary(self) -> bool {
        !matches!(
            self,
            Self::Unauthenticated
                | Self::AccessDenied
                | Self::TokenExpired
                | Self::TokenRevoked
                | Self::ServiceUnknown
                | Self::MetadataTooLarge
                | Self::MessageTooLarge
                | Self::MessageMalformed
        )
    }

    /// Whether a callee's stack says it: what is known on this side only is nobody else's word.
    fn is_callees(self) -> bool {
        !matches!(self, Self::CircuitOpen | Self::NoEndpoint | Self::Bulkhead | Self::BudgetSpent)
    }

    fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str().as_bytes() == name)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tells why the stack refused a call; none if it did not.
///
/// Costs a walk over the error's sources and, for an answer from the wire, a look at its details.
pub fn refusal(status: &Status) -> Option<Refusal> {
    local(status)
        .or_else(|| told(status).map(|told| told.refusal))
        .or_else(|| noted(status))
        .or_else(|| remote(status))
}

/// The refusal of a layer on this side.
pub(crate) fn local(status: &Status) -> Option<Refusal> {
    sources(status).find_map(transport::refusal_of)
}

/// Whether a layer of either side refused the call, knowing that it was not processed: the
/// transport did not lose it.
pub(crate) fn is_decided(status: &Status) -> bool {
    local(status).is_some() || told(status).is_some()
}

/// Notes on an answer that it was not asked for again.
pub(crate) fn note_budget_spent(headers: &mut HeaderMap) {
    headers.append(HEADER, HeaderValue::from_static(Refusal::BudgetSpent.as_str()));
}

/// Tells the caller that no handler began with the call.
pub(crate) fn vouch(status: &mut Status, refusal: Refusal) {
    if refusal.is_unprocessed() {
        let value = MetadataValue::from_static(refusal.as_str());
        status.metadata_mut().insert(HEADER_NAME, value);
    }
}

/// Takes back what somebody else has vouched for: a handler that hands on its own callee's error.
pub(crate) fn disown(headers: &mut HeaderMap) {
    headers.remove(HEADER);
}

/// How far the call got whose answer is this, if its headers are all of it.
pub(crate) fn disposition_of(headers: &HeaderMap) -> Disposition {
    match code_of(headers).and_then(|code| Told::read(headers, code)) {
        Some(told) => told.disposition(),
        None => Disposition::MaybeProcessed,
    }
}

/// Reads an answer's headers before the generated client does: a malformed detail is left out, and
/// a refusal of the callee's stack becomes a status that says so, [`Disposition`] and all, without
/// the header that counts for this hop only.
///
/// The outermost layer of a client calls it, once per call. Costs two look-ups in the headers.
pub(crate) fn received<B>(mut response: Response<B>) -> Result<Response<B>, Status> {
    let headers = response.headers_mut();
    transport::drop_malformed_details(headers);
    if headers.contains_key(HEADER) {
        if let Some(status) = Status::from_header_map(headers)
            && status.code() != Code::Ok
        {
            return Err(understood(status));
        }
        disown(headers);
    }
    Ok(response)
}

/// A status as it came over the wire, with what its header says kept where it is not handed on.
pub(crate) fn understood(mut status: Status) -> Status {
    if !status.metadata().contains_key(HEADER_NAME) || status.source().is_some() {
        return status;
    }
    let mut headers = mem::take(status.metadata_mut()).into_headers();
    let told = Told::read(&headers, status.code());
    disown(&mut headers);
    *status.metadata_mut() = MetadataMap::from_headers(headers);
    if let Some(told) = told {
        status.set_source(Arc::new(told));
    }
    status
}

/// What the header said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    refusal: Refusal,
    unprocessed: bool,
}

impl Told {
    fn read(headers: &HeaderMap, code: Code) -> Option<Self> {
        let mut said = None;
        let mut unprocessed = false;
        for value in headers.get_all(HEADER) {
            match Refusal::parse(value.as_bytes()) {
                Some(Refusal::BudgetSpent) => said = Some(Refusal::BudgetSpent),
                Some(refusal)
                    if refusal.is_callees()
                        && refusal.is_unprocessed()
                        && refusal.code() == code =>
                {
                    unprocessed = true;
                    said = said.or(Some(refusal));
                }
                _ => (),
            }
        }
        said.map(|refusal| Self { refusal, unprocessed })
    }

    pub(crate) fn disposition(self) -> Disposition {
        if self.unprocessed { Disposition::Unprocessed } else { Disposition::MaybeProcessed }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}", self.refusal)
    }
}

impl Error for Told {}

fn told(status: &Status) -> Option<Told> {
    sources(status).find_map(|error| error.downcast_ref::<Told>().copied())
}

fn sources(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |error| <dyn Error>::source(*error))
}

/// What this side's retries left beside a failure of the transport, or in trailers.
fn noted(status: &Status) -> Option<Refusal> {
    let headers = status.metadata().get_all(HEADER_NAME);
    let spent = Refusal::BudgetSpent;
    headers
        .iter()
        .any(|value| value.as_encoded_bytes() == spent.as_str().as_bytes())
        .then_some(spent)
}

fn remote(status: &Status) -> Option<Refusal> {
    if status.details().is_empty() {
        return None;
    }
    let info = status.get_details_error_info()?;
    let known = if info.domain == STACK { Refusal::parse(info.reason.as_bytes()) } else { None };
    known.filter(|refusal| refusal.is_callees())
}

#[cfg(test)]
mod tests;
