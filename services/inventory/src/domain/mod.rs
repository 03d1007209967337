//! What stock is and what may happen to it. Pure: no clock, no I/O, no protobuf, no SQL.

mod adjustment;
mod announcement;
mod command;
mod ledger;
mod line;
mod movement;
mod refusal;
mod reservation;
mod stock;

#[cfg(test)]
mod tests;

pub use adjustment::{Adjust, Adjustment, AdjustmentReason};
pub use announcement::{Announcement, News};
pub use command::{Answer, Change, Command, Delivery, Digest, Transfer};
pub use ledger::{Ledger, Slot, Writes};
pub use line::{Line, Lines, LinesError, MAX_LINES, MAX_QUANTITY, MAX_THRESHOLD, Sku};
pub use movement::{Cause, Movement, MovementsOf, Recorded, Subject};
pub use refusal::Refusal;
pub use reservation::{Origin, Reservation, State};
pub use stock::{Bucket, Stock, Threshold};
