//! Bad input: refused with the right code, a stable reason and the field's name, and no row is
//! left behind.

mod callees;
mod carts;
mod orders;
mod sizes;
mod stock;

use std::fmt::Debug;

use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::evidence::reason;

/// What is no UUID, or is not spelled as we spell one.
const NO_UUIDS: [&str; 4] = [
    "",
    "not-a-uuid",
    "0197f3a0c2d47b3e8a1c5d6e7f809a1b",
    "{0197f3a0-c2d4-7b3e-8a1c-5d6e7f809a1b}",
];

/// Asserts that a call was refused as malformed, for this reason and naming this field.
fn malformed<T: Debug>(answer: Result<Response<T>, Status>, why: &str, field: &str) {
    refused(answer, Code::InvalidArgument, why, field);
}

/// Asserts that a call was refused with this code, for this reason, naming this field if any.
fn refused<T: Debug>(answer: Result<Response<T>, Status>, code: Code, why: &str, field: &str) {
    let status = answer.expect_err(&format!("{why} of {field}"));
    assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{field}: {status:?}");
    if !field.is_empty() {
        let details = status.get_error_details();
        let violations = &details.bad_request().expect(field).field_violations;
        assert_eq!(violations[0].field, field);
        assert!(!violations[0].description.is_empty(), "{field}");
    }
}
