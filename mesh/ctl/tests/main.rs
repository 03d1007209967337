//! The real program: everything that `cargo mesh` does to this machine.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod canary;
mod cluster;
mod contracts;
mod doctor;
mod flags;
mod foreground;
mod gateway;
mod growth;
mod mtls;
mod observe;
mod prometheus;
mod released;
mod rpc;
mod runbook;
mod running;
mod shop;
mod spoken;
mod streams;
mod up;
mod watch;
