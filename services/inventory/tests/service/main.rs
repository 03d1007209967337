//! What the inventory promises, asked over gRPC, on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adjustments;
mod bad_input;
mod concurrency;
mod expiry;
mod giving_up;
mod inventory;
mod lists;
mod low_stock;
mod repeats;
mod shipments;

#[test]
fn the_mesh_tables_are_those_of_the_log() {
    assert_eq!(include_str!("../../migrations/0001_mesh.sql"), mesh_log::MIGRATION);
}
