//! Requests and answers by the contract beside this file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
mod contracts;
mod described;
mod fuzz;
mod properties;
mod requests;
mod support;
