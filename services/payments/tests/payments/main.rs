//! Payments through gRPC, with a real card processor in this process and a real database each.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authorize;
mod bad_input;
mod capture_and_refund;
mod crash;
mod lists;
mod parts;
mod refunds;
mod replicas;
mod settle;
mod till;
mod undo;
