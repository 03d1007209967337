//! What a product is. Pure: no clock, no I/O, no protobuf, no SQL.

mod product;

pub use product::{Product, Sku};
