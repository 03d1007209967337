//! What the log promises, on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod deadlines;
mod gather;
mod lab;
mod projection;
mod proxy;
mod reader;
mod replicas;
mod silence;
mod storm;
mod streams;
mod transactions;
