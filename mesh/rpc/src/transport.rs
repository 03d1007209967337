//! What a failed call did to the callee. The one module that knows the errors of tonic, hyper and
//! h2.

use std::{error::Error, fmt, io, sync::Arc};

use tonic::{Code, ConnectError, Status, TimeoutExpired};

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

/// Turns an error of the transport into the status that gRPC means for it.
///
/// tonic says CANCELLED where a deadline passed or a connection closed, INTERNAL where the callee
/// said good-bye, and UNKNOWN where it died.
pub(crate) fn normalize(error: Box<dyn Error + Send + Sync>) -> Status {
    let error = match error.downcast::<Status>() {
        Ok(status) => return rewrite(*status),
        Err(error) => error,
    };
    let chain = Chain::read(error.as_ref());
    let mut status = if chain.timeout {
        Status::with_details(Code::DeadlineExceeded, "deadline exceeded", bytes::Bytes::new())
    } else {
        unavailable(&text(error.as_ref()))
    };
    status.set_source(Arc::from(error));
    status
}

/// A failure of this side, before anything was sent.
pub(crate) fn not_sent(code: Code, message: &str) -> Status {
    local(code, message, Disposition::NotSent)
}

/// A failure of this side, after the request was sent.
pub(crate) fn gave_up(code: Code, message: &str) -> Status {
    local(code, message, Disposition::MaybeProcessed)
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
    let mut better = if chain.timeout {
        Status::with_details(Code::DeadlineExceeded, "deadline exceeded", bytes::Bytes::new())
    } else {
        unavailable(&text(source))
    };
    std::mem::swap(&mut better, &mut status);
    let old: Arc<dyn Error + Send + Sync> = Arc::new(better);
    status.set_source(old);
    status
}

fn local(code: Code, message: &str, disposition: Disposition) -> Status {
    let mut status = Status::with_details(code, message, bytes::Bytes::new());
    status.set_source(Arc::new(Local(disposition)));
    status
}

fn unavailable(message: &str) -> Status {
    Status::with_details(Code::Unavailable, message, bytes::Bytes::new())
}

fn of_chain(error: &(dyn Error + 'static)) -> Disposition {
    Chain::read(error).disposition()
}

/// A failure that no peer took part in.
#[derive(Debug)]
struct Local(Disposition);

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed on the caller's side")
    }
}

impl Error for Local {}

/// What an error's sources say.
#[derive(Debug, Default)]
struct Chain {
    local: Option<Disposition>,
    transport: bool,
    timeout: bool,
    connect: bool,
    canceled: bool,
    refused: bool,
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
        if let Some(Local(disposition)) = error.downcast_ref() {
            self.local = Some(*disposition);
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
        } else if let Some(error) = error.downcast_ref::<io::Error>() {
            self.transport = true;
            self.connect |= error.kind() == io::ErrorKind::ConnectionRefused;
        }
    }

    fn disposition(&self) -> Disposition {
        if let Some(disposition) = self.local {
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

/// A stream above the last one that the peer will look at, or one that it turned away.
fn is_refusal(error: &h2::Error) -> bool {
    let graceful = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (graceful || refused)
}

/// The innermost cause says most: `connection refused` rather than `transport error`.
fn text(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    format!("transport error: {deepest}")
}
