//! Events that could not be applied, as rows beside the inbox.

mod service;
mod store;

pub use service::dead_letters_service;
pub(crate) use store::{Letter, Reason, bury, count, keys, put_behind};
