//! What `mesh-flags` promises with a real broker, whose users have what is declared.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bucket;
