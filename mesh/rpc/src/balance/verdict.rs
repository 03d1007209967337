//! What an answer says about the endpoint that gave it.

use tonic::{Code, Status};

use crate::{Disposition, disposition};

/// An answer's weight for breaker, outlier detection and load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The endpoint did its work; an answer that blames the caller is work done.
    Good,
    /// It failed, or is gone.
    Hard,
    /// It had too much to do, and said so: a load, and no failure. A breaker that opened for it would
    /// take from a server what it can still do, the critical calls first of all.
    Soft,
    /// It says nothing: given up by the caller, or turned away by a peer that is leaving.
    Ignored,
}

/// Judges a code. `in_time` tells whether a deadline left the time that answers take.
pub(super) fn of_code(code: Code, in_time: impl FnOnce() -> bool) -> Verdict {
    match code {
        Code::Unavailable | Code::Internal | Code::DataLoss => Verdict::Hard,
        Code::DeadlineExceeded if in_time() => Verdict::Hard,
        Code::ResourceExhausted => Verdict::Soft,
        // UNKNOWN is a handler's; the transport's own are UNAVAILABLE.
        Code::Cancelled | Code::DeadlineExceeded | Code::Unknown => Verdict::Ignored,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => Verdict::Good,
    }
}

/// Judges a failure of the transport.
pub(super) fn of_failure(status: &Status, in_time: impl FnOnce() -> bool) -> Verdict {
    match disposition(status) {
        // It said good-bye; what was under way then is nobody's fault.
        Disposition::NotSent | Disposition::Unprocessed => Verdict::Ignored,
        Disposition::MaybeProcessed => of_code(status.code(), in_time),
    }
}

/// The code of an answer that is not gRPC's, such as a proxy's (gRPC over HTTP/2, appendix).
pub(super) fn code_of_http(status: http::StatusCode) -> Option<Code> {
    match status.as_u16() {
        200 => None,
        400 => Some(Code::Internal),
        401 => Some(Code::Unauthenticated),
        403 => Some(Code::PermissionDenied),
        404 => Some(Code::Unimplemented),
        429 | 502..=504 => Some(Code::Unavailable),
        _ => Some(Code::Unknown),
    }
}
