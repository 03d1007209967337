//! What others tell this service. Each reaction is safe to deliver twice.

mod shipments;

pub use shipments::{STREAM, Shipments, subjects};
