//! The sandbox processor through gRPC, on a real database of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cards;
mod charges;
mod sandbox;
