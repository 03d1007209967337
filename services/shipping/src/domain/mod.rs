//! What a shipment is and what may happen to it. Pure: no clock, no I/O, no protobuf, no SQL.

mod address;
mod shipment;

pub use address::{Address, Country};
pub use shipment::{Refusal, Report, Shipment, State};
