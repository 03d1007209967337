//! What orders promises about carts, lists and stories, through gRPC on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod carts;
mod lab;
mod lists;
mod merges;
mod stories;

#[test]
fn the_mesh_tables_are_those_of_the_log() {
    assert_eq!(include_str!("../../migrations/0001_mesh.sql"), mesh_log::MIGRATION);
    let projections = include_str!("../../migrations/0003_projections.sql");
    assert_eq!(projections, mesh_log::PROJECTIONS_MIGRATION);
}
