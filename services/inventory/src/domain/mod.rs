//! What stock is and what may happen to it. Pure: no clock, no I/O, no protobuf, no SQL.

mod command;
mod ledger;
mod line;
mod refusal;
mod reservation;
mod stock;

#[cfg(test)]
mod tests;

pub use command::{Answer, Change, Command, Delivery, Digest, Transfer};
pub use ledger::{Announcement, Ledger, Movement, Slot, Writes};
pub use line::{Line, Lines, LinesError, MAX_LINES, MAX_QUANTITY, Sku};
pub use refusal::Refusal;
pub use reservation::{Origin, Reservation, State};
pub use stock::{Bucket, Stock};
