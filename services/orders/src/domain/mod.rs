//! What an order is and what may happen to it. Pure: no clock, no I/O, no protobuf, no SQL.

mod cart;
mod checkout;
mod event;
mod order;

pub use cart::{Cart, CartChange, CartLine, CartRefusal, LINES, QUANTITY};
pub use checkout::{Action, Limits, Progress, Step, Undo};
pub use event::OrderEvent;
pub use order::{
    Line, NotCancellable, Order, Placement, Reason, Standing, State, Unpriceable, total,
};
