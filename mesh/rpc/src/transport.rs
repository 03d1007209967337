//! What a failed call did to the callee. The one module that knows the errors of tonic, hyper and
//! h2.

use std::{error::Error, fmt, io, sync::Arc};

use http::HeaderMap;
use tonic::{Code, ConnectError, Status, TimeoutExpired, metadata::MetadataMap};

use crate::refusal::{self, Refusal, Told};
use crate::tls::TlsError;

/// How far a call got: decides whether it may be repeated without asking what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The request never left: repeating it is always safe.
    NotSent,
    /// The callee refused it before it looked at it: repeating it is safe.
    Unprocessed,
    /// The callee may have done it, or answered: only an idempotent call may be repeated.
    MaybeProcessed,
}

/// Tells from a status how far its call got.
pub fn disposition(status: &Status) -> Disposition {
    status.source().map_or(Disposition::MaybeProcessed, of_chain)
}

/// Gives a status of a bare tonic client the code that gRPC means for what happened: tonic says
/// UNKNOWN where a connection died, for example; and notes whether the callee's stack refused the
/// call before its handler began. Calls through a [`Channel`](crate::Channel) need it not.
pub fn normalized(status: Status) -> Status {
    rewrite(refusal::understood(status))
}

/// Turns an error of the transport into the status that gRPC means for it.
///
/// tonic says CANCELLED where a deadline passed or a connection closed, INTERNAL where the callee
/// said good-bye, and UNKNOWN where it died.
pub(crate) fn normalize(error: Box<dyn Error + Send + Sync>) -> Status {
    let error = match error.downcast::<Status>() {
        Ok(status) => return rewrite(*status),
        Err(error) => error,
    };
    let mut status = Chain::read(error.as_ref()).status(error.as_ref());
    status.set_source(Arc::from(error));
    status
}

/// Why a connection opened no stream for a request: nothing was sent, whatever it is.
pub(crate) fn not_opened(error: h2::Error) -> Status {
    normalize(Box::new(StreamError { error, opened: false }))
}

/// A request that HTTP/2 does not allow, such as one with a `connection` header (RFC 9113 §8.2.2).
pub(crate) fn malformed(error: h2::Error) -> Status {
    let mut status = not_sent(Code::Internal, &error.to_string());
    status.set_source(Arc::new(StreamError { error, opened: false }));
    status
}

/// What ended a stream. h2 gives a peer's good-bye only to the streams above the last one that
/// the peer looks at (RFC 9113 §6.8), so that each is known to be unprocessed or not.
///
/// hyper's errors do not tell: once the peer has said good-bye, it gives that also as the answer to
/// a request whose stream it has just opened, and which the peer may be working on.
pub(crate) fn broken(error: h2::Error) -> Status {
    normalize(Box::new(StreamError { error, opened: true }))
}

/// A failure of this side, before anything was sent.
pub(crate) fn not_sent(code: Code, message: &str) -> Status {
    local(code, message, Disposition::NotSent)
}

/// A failure of this side, after the request was sent.
pub(crate) fn gave_up(code: Code, message: &str) -> Status {
    local(code, message, Disposition::MaybeProcessed)
}

/// What a peer that says good-bye makes of a call.
#[cfg(test)]
pub(crate) fn unprocessed(message: &str) -> Status {
    local(Code::Unavailable, message, Disposition::Unprocessed)
}

/// A refusal of one of this side's layers, before anything was sent.
pub(crate) fn refused(refusal: Refusal, message: &str) -> Status {
    let mut status = not_sent(refusal.code(), message);
    status.set_source(Arc::new(Local(Disposition::NotSent, Some(refusal))));
    status
}

/// What a layer of this side refused, if this is the error of one.
pub(crate) fn refusal_of(error: &(dyn Error + 'static)) -> Option<Refusal> {
    error.downcast_ref::<Local>().and_then(|local| local.1)
}

/// A refusal of this side, before anything was sent; `cause` says why and has one of the constants
/// below as its source.
pub(crate) fn refused_because(
    code: Code,
    message: &str,
    cause: impl Error + Send + Sync + 'static,
) -> Status {
    let mut status = Status::with_details(code, message, bytes::Bytes::new());
    status.set_source(Arc::new(cause));
    status
}

/// What a refusal of the balancer ends with.
pub(crate) const NO_ENDPOINT: &(dyn Error + Send + Sync + 'static) =
    &Local(Disposition::NotSent, Some(Refusal::NoEndpoint));
/// As [`NO_ENDPOINT`], if what is missing is missing for what it answered.
pub(crate) const CIRCUIT_OPEN: &(dyn Error + Send + Sync + 'static) =
    &Local(Disposition::NotSent, Some(Refusal::CircuitOpen));

/// Leaves out what tonic's generated clients would panic on: details that are not base64.
///
/// For the headers of an answer and its trailers, before tonic sees them.
pub(crate) fn drop_malformed_details(headers: &mut HeaderMap) {
    let Some(details) = headers.remove(Status::GRPC_STATUS_DETAILS) else { return };
    let name = Status::GRPC_STATUS_DETAILS;
    // Asked of tonic, so that both mean the same by base64.
    let alone = MetadataMap::from_headers(HeaderMap::from_iter([(name.clone(), details.clone())]));
    let value = alone.get_bin(name.as_str());
    if value.is_some_and(|value| value.to_bytes().is_ok()) {
        headers.insert(name, details);
    }
}

/// Whether the endpoint could not even be connected to.
pub(crate) fn is_connect_error(status: &Status) -> bool {
    status.source().is_some_and(|source| Chain::read(source).connect)
}

/// A status that tonic made of a transport error, as errors of a body are.
fn rewrite(mut status: Status) -> Status {
    let Some(source) = status.source() else { return status };
    let chain = Chain::read(source);
    if chain.local.is_some() || !chain.transport {
        return status;
    }
    let mut better = chain.status(source);
    std::mem::swap(&mut better, &mut status);
    let old: Arc<dyn Error + Send + Sync> = Arc::new(better);
    status.set_source(old);
    status
}

fn local(code: Code, message: &str, disposition: Disposition) -> Status {
    let mut status = Status::with_details(code, message, bytes::Bytes::new());
    status.set_source(Arc::new(Local(disposition, None)));
    status
}

fn of_chain(error: &(dyn Error + 'static)) -> Disposition {
    Chain::read(error).disposition()
}

/// A failure that no peer took part in.
#[derive(Debug)]
struct Local(Disposition, Option<Refusal>);

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(refusal) => write!(f, "refused on the caller's side: {refusal}"),
            None => f.write_str("failed on the caller's side"),
        }
    }
}

impl Error for Local {}

/// An error of HTTP/2 itself.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct StreamError {
    #[source]
    error: h2::Error,
    opened: bool,
}

impl StreamError {
    fn disposition(&self) -> Disposition {
        let Self { error, opened } = self;
        let turned_away = error.is_go_away()
            || error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        match opened {
            false => Disposition::NotSent,
            true if error.is_remote() && turned_away => Disposition::Unprocessed,
            true => Disposition::MaybeProcessed,
        }
    }
}

/// What an error's sources say.
#[derive(Debug, Default)]
struct Chain {
    local: Option<Disposition>,
    stream: Option<Disposition>,
    transport: bool,
    timeout: bool,
    connect: bool,
    canceled: bool,
    refused: bool,
    /// What is wrong with who one of the two says it is.
    identity: Option<String>,
}

impl Chain {
    fn read(error: &(dyn Error + 'static)) -> Self {
        let mut chain = Self::default();
        let mut next = Some(error);
        while let Some(error) = next {
            chain.add(error);
            next = error.source();
        }
        chain
    }

    fn add(&mut self, error: &(dyn Error + 'static)) {
        if let Some(Local(disposition, _)) = error.downcast_ref() {
            self.local = Some(*disposition);
        } else if let Some(told) = error.downcast_ref::<Told>() {
            self.local = Some(told.disposition());
        } else if let Some(error) = error.downcast_ref::<StreamError>() {
            self.stream = Some(error.disposition());
        } else if let Some(error) = tls_error(error) {
            (self.transport, self.connect) = (true, true);
            self.identity = error.is_about_identity().then(|| error.to_string());
        } else if error.is::<TimeoutExpired>() {
            (self.transport, self.timeout) = (true, true);
        } else if error.is::<ConnectError>() {
            (self.transport, self.connect) = (true, true);
        } else if error.is::<tonic::transport::Error>() {
            self.transport = true;
        } else if let Some(error) = error.downcast_ref::<hyper::Error>() {
            self.transport = true;
            self.canceled |= error.is_canceled();
        } else if let Some(error) = error.downcast_ref::<h2::Error>() {
            self.transport = true;
            self.refused |= is_refusal(error);
            self.identity = identity(error);
        } else if let Some(error) = error.downcast_ref::<io::Error>() {
            self.transport = true;
            self.connect |= error.kind() == io::ErrorKind::ConnectionRefused;
        }
    }

    /// The status that gRPC means for `error`.
    fn status(&self, error: &(dyn Error + 'static)) -> Status {
        let bare = |code, text: &str| Status::with_details(code, text, bytes::Bytes::new());
        match &self.identity {
            _ if self.timeout => bare(Code::DeadlineExceeded, "deadline exceeded"),
            Some(identity) => bare(Code::Unauthenticated, identity),
            None => bare(Code::Unavailable, &text(error)),
        }
    }

    fn disposition(&self) -> Disposition {
        if let Some(disposition) = self.local.or(self.stream) {
            disposition
        } else if self.refused {
            Disposition::Unprocessed
        } else if self.connect || self.canceled {
            Disposition::NotSent
        } else {
            Disposition::MaybeProcessed
        }
    }
}

/// An `io::Error` does not count what it was made of among its sources.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.downcast_ref().or_else(|| within?.downcast_ref())
}

/// A stream above the last one that the peer will look at, or one that it turned away.
fn is_refusal(error: &h2::Error) -> bool {
    let graceful = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (graceful || refused || is_plaintext_refused(error))
}

/// The peer wants TLS and was spoken to in plaintext.
fn is_plaintext_refused(error: &h2::Error) -> bool {
    error.is_go_away() && error.reason() == Some(h2::Reason::INADEQUATE_SECURITY)
}

/// What HTTP/2 knows of a quarrel about identity: that the server takes TLS only, or, from a server
/// whose verdict on our certificate came late, the alert.
fn identity(error: &h2::Error) -> Option<String> {
    if is_plaintext_refused(error) {
        return Some("the server takes TLS only".to_owned());
    }
    let alert = error.get_io().filter(|error| error.kind() == io::ErrorKind::PermissionDenied)?;
    Some(alert.to_string())
}

/// The innermost cause says most: `connection refused` rather than `transport error`.
fn text(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    format!("transport error: {deepest}")
}
