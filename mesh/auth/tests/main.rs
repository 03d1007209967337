//! What `mesh-auth` promises with a real broker.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bucket;
mod keys;
