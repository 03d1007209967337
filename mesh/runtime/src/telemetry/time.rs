//! The time of a log line.

use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Now in UTC with microseconds.
pub(super) fn now() -> String {
    OffsetDateTime::now_utc().format(FORMAT).unwrap_or_default()
}
