//! What users promises, through gRPC on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accounts;
mod elsewhere;
mod guessing;
mod keys;
mod mails;
mod passwords;
mod revocation;
mod roles;
mod sessions;
mod support;
