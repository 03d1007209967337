//! What a shipment is and what may happen to it. Pure: no clock, no I/O, no protobuf, no SQL.

mod address;
mod delivery;
mod rates;
mod shipment;
mod tracking_number;
mod way;

pub use address::{Address, Country, Zone};
pub use delivery::{Estimate, estimate};
pub use rates::{Parcel, Speed, Terms, quote};
pub use shipment::{Refusal, Report, Shipment, State};
pub use tracking_number::tracking_number;
pub use way::{Entry, Located, Place, Position, What};
