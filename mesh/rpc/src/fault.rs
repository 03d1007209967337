//! The one place where an error becomes a `tonic::Status`, and where its details are read again.

use std::{collections::HashMap, error::Error};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What a caller may learn about a failure.
///
/// A service implements this once, in `api/status.rs`.
pub trait Fault: Error {
    /// Canonical code; decides whether a caller may retry.
    fn code(&self) -> Code;

    /// Stable machine-readable cause, `UPPER_SNAKE_CASE`, unique per service.
    fn reason(&self) -> &'static str;

    /// Adds typed details: violated fields, retry delay, … A violated field without a reason gets
    /// the fault's.
    fn describe(&self, _details: &mut ErrorDetails) {}

    /// Values that belong to the reason, such as the SKU that is out of stock.
    fn metadata(&self) -> HashMap<String, String> {
        HashMap::new()
    }
}

/// Renders `fault` for the wire as `google.rpc.Status`, hiding what is ours to know.
///
/// `domain` names the service that the reason belongs to: `inventory.shop`. A fault of our own
/// (INTERNAL, UNKNOWN, DATA_LOSS) is logged here, once, with everything that led to it.
pub fn status(domain: &'static str, fault: &impl Fault) -> Status {
    let code = fault.code();
    let mut details = ErrorDetails::new();
    details.set_error_info(fault.reason(), domain, fault.metadata());
    fault.describe(&mut details);
    give_reason(&mut details, fault.reason());

    match code {
        Code::Internal | Code::Unknown | Code::DataLoss => {
            tracing::error!(error = %chain(fault), reason = fault.reason(), "request failed");
            Status::with_error_details(code, "internal error", details)
        }
        _ => Status::with_error_details(code, fault.to_string(), details),
    }
}

/// A field that is to blame has the fault's reason, unless it was given one of its own.
fn give_reason(details: &mut ErrorDetails, reason: &str) {
    let Some(bad) = details.bad_request() else { return };
    let mut violations = bad.field_violations.clone();
    for violation in violations.iter_mut().filter(|violation| violation.reason.is_empty()) {
        violation.reason = reason.to_owned();
    }
    details.set_bad_request(violations);
}

/// Returns the stable cause that the callee gave, if it gave one.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// Returns a value that belongs to the [`reason`].
pub fn error_metadata(status: &Status, key: &str) -> Option<String> {
    status.get_details_error_info()?.metadata.remove(key)
}

/// Joins an error with its sources: `outer: middle: root`.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// The domain of the stack's own reasons.
pub(crate) const STACK: &str = "mesh";

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0} is out of stock")]
    struct OutOfStock(&'static str);

    impl Fault for OutOfStock {
        fn code(&self) -> Code {
            Code::FailedPrecondition
        }

        fn reason(&self) -> &'static str {
            "STOCK_INSUFFICIENT"
        }

        fn describe(&self, details: &mut ErrorDetails) {
            details.add_bad_request_violation("sku", "is not there");
        }

        fn metadata(&self) -> HashMap<String, String> {
            HashMap::from([("sku".to_owned(), self.0.to_owned())])
        }
    }

    #[test]
    fn a_fault_keeps_its_reason_and_values_on_the_wire() {
        let status = status("inventory.shop", &OutOfStock("MUG"));

        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.message(), "MUG is out of stock");
        assert_eq!(reason(&status).as_deref(), Some("STOCK_INSUFFICIENT"));
        assert_eq!(error_metadata(&status, "sku").as_deref(), Some("MUG"));
        assert_eq!(error_metadata(&status, "lot"), None);
        let field = &status.get_details_bad_request().unwrap().field_violations[0];
        assert_eq!((&*field.field, &*field.reason), ("sku", "STOCK_INSUFFICIENT"));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the password is 1234")]
    struct Broken;

    impl Fault for Broken {
        fn code(&self) -> Code {
            Code::Internal
        }

        fn reason(&self) -> &'static str {
            "BROKEN"
        }
    }

    #[test]
    fn a_fault_of_our_own_tells_the_caller_nothing() {
        let status = status(STACK, &Broken);

        assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
    }
}
