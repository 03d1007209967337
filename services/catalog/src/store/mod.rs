//! SQL.

mod products;

pub use products::{get, get_all, list};
