//! Reads the fields of a request and remembers everything that is wrong with them.

use std::{fmt, ops::RangeInclusive};

use mesh_runtime::correlation;
use tonic::Code;
use tonic_types::{ErrorDetails, FieldViolation};
use tracing::Span;
use uuid::Uuid;

use crate::{Fault, guard};

/// How many violations an answer names at most.
const VIOLATIONS: usize = 20;
/// The field that names a request.
pub(crate) const REQUEST_ID: &str = "request_id";
/// What it is called on log lines where the client's request has an id of its own: at the gateway it
/// comes in a header of this name.
const IDEMPOTENCY_KEY: &str = "idempotency_key";

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, for instance `lines[0].quantity`.
    pub field: String,
    /// Stable, `UPPER_SNAKE_CASE`.
    pub reason: &'static str,
    /// What the value must be, as the rest of a sentence that the field begins, always with "must":
    /// `must have 1 to 40 characters`, `must not be negative`.
    pub description: String,
}

/// A malformed request: INVALID_ARGUMENT, with every violation; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub Vec<Violation>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request is malformed: ")?;
        for (n, violation) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{} {}", violation.field, violation.description)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

impl Fault for Invalid {
    fn code(&self) -> Code {
        Code::InvalidArgument
    }

    fn reason(&self) -> &'static str {
        self.0.first().map_or("REQUEST_MALFORMED", |violation| violation.reason)
    }

    fn describe(&self, details: &mut ErrorDetails) {
        let violation = |violation: &Violation| FieldViolation {
            reason: violation.reason.to_owned(),
            ..FieldViolation::new(&violation.field, &violation.description)
        };
        details.set_bad_request(self.0.iter().map(violation).collect::<Vec<_>>());
    }
}

/// Reads fields one after the other, so that a caller hears of all that is wrong at once.
///
/// Values read before [`finish`](Self::finish) stand for themselves only if it says so.
#[derive(Debug, Default)]
pub struct Fields(Vec<Violation>);

impl Fields {
    /// Reads a UUID in its hyphenated form. That of a `request_id` is noted on the call's span, and so
    /// on its log lines, as `request_id`, or as `idempotency_key` beside the id of the client's request
    /// that the call came with; it names the call's story if nothing else does.
    pub fn uuid(&mut self, field: &str, value: &str) -> Uuid {
        const HYPHENATED: usize = 36;
        match Uuid::try_parse(value) {
            Ok(uuid) if value.len() == HYPHENATED => {
                if field == REQUEST_ID {
                    let has_own = guard::carried(|it| it.request_id().is_some());
                    let name = if has_own == Some(true) { IDEMPOTENCY_KEY } else { REQUEST_ID };
                    Span::current().record(name, value);
                    correlation::begin(value);
                }
                uuid
            }
            _ => {
                self.refuse(
                    field,
                    "UUID_MALFORMED",
                    "must be a UUID of 36 characters, with hyphens",
                );
                Uuid::nil()
            }
        }
    }

    /// Reads a text of so many characters, none of them a control character, and not all of them
    /// blanks if there has to be one.
    pub fn text(&mut self, field: &str, value: &str, length: RangeInclusive<usize>) -> String {
        if !length.contains(&value.chars().count()) {
            let bounds = format!("must have {} to {} characters", length.start(), length.end());
            self.refuse(field, "TEXT_LENGTH_OUT_OF_RANGE", bounds);
        } else if value.chars().any(char::is_control) {
            self.refuse(field, "TEXT_MALFORMED", "must not have control characters");
        } else if *length.start() > 0 && value.trim().is_empty() {
            self.refuse(field, "TEXT_MALFORMED", "must not be blank");
        }
        value.to_owned()
    }

    /// Reads a number between bounds.
    pub fn number(&mut self, field: &str, value: i64, range: RangeInclusive<i64>) -> i64 {
        if !range.contains(&value) {
            let bounds = format!("must be {} to {}", range.start(), range.end());
            self.refuse(field, "NUMBER_OUT_OF_RANGE", bounds);
        }
        value
    }

    /// Checks that a list has so many elements. Returns how many of them are worth reading.
    pub fn count(&mut self, field: &str, length: usize, range: RangeInclusive<usize>) -> usize {
        if !range.contains(&length) {
            let bounds = format!("must have {} to {} elements", range.start(), range.end());
            self.refuse(field, "COUNT_OUT_OF_RANGE", bounds);
        }
        length.min(*range.end())
    }

    /// Remembers that something is wrong with a field; see [`Violation::description`] for its words.
    pub fn refuse(&mut self, field: &str, reason: &'static str, description: impl Into<String>) {
        if self.0.len() < VIOLATIONS {
            let description = description.into();
            self.0.push(Violation { field: field.to_owned(), reason, description });
        }
    }

    /// Returns the value that was read, or everything that was wrong.
    pub fn finish<T>(self, value: T) -> Result<T, Invalid> {
        if self.0.is_empty() { Ok(value) } else { Err(Invalid(self.0)) }
    }
}
