//! Requests and answers by the contract beside this file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
mod contracts;
mod described;
mod fuzz;
mod properties;
mod requests;
mod support;

/// Counts what an input costs.
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<std::alloc::System> = alloc_tracker::Allocator::system();
