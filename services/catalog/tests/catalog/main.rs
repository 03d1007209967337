//! What catalog promises, through gRPC on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod categories;
mod changes;
mod reads;
mod search;
mod support;
