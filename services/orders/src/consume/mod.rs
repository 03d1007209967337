//! What the others, and its own log, tell this service. Each reaction is safe to deliver twice.

mod order_view;
mod shipments;

pub use order_view::OrderView;
pub use shipments::{SUBJECTS, Shipments};
