//! `shop.orders.v1` over gRPC. Handlers translate; they decide nothing.

mod carts;
mod orders;
mod queries;
mod status;
mod watch;

pub use carts::carts_service;
pub use orders::orders_service;
pub use queries::order_queries_service;
