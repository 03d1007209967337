//! What shipping promises, through gRPC on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod lifecycle;
mod lists;
mod positions;
mod quotes;
mod replicas;
mod support;
mod tracking;
