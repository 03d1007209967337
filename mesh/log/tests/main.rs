//! What the log promises, on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod gather;
mod lab;
mod reader;
mod replicas;
mod streams;
mod transactions;
