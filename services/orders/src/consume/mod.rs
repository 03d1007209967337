//! What the others tell this service. Each reaction is safe to deliver twice.

mod shipments;

pub use shipments::{SUBJECTS, Shipments};
