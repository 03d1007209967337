//! What `mesh-auth` promises with a real broker, and whatever it is shown.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bucket;
mod fuzz;
mod keys;

/// Counts what an input costs.
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<std::alloc::System> = alloc_tracker::Allocator::system();
