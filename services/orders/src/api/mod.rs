//! `shop.orders.v1` over gRPC. Handlers translate; they decide nothing.

mod carts;
mod orders;
mod status;
mod watch;

pub use carts::carts_service;
pub use orders::orders_service;
