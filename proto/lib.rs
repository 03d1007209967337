//! The contracts: Rust paths mirror proto packages (`shop.orders.v1` is `shop::orders::v1`).

pub mod money;

mod generated {
    #![allow(clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
    include!(concat!(env!("OUT_DIR"), "/contracts.rs"));
}
pub use generated::shop::*;

/// Encoded `FileDescriptorSet` of `proto/`, comments and options included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
