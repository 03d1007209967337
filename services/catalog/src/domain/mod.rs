//! What products and categories are. Pure: no clock, no I/O, no protobuf, no SQL.

mod category;
mod product;
mod refusal;
pub mod words;

pub use category::{Category, Named, Slug};
pub use product::{Changes, Product, ProductEvent, Sku, State};
pub use refusal::Refusal;
