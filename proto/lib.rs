//! The contracts: Rust paths mirror proto packages (`shop.orders.v1` is `shop::orders::v1`).
//!
//! A field that its contract calls personal or secret (`mesh.v1.sensitivity`) is printed as `***`, in its
//! message and in every message around that.

pub mod money;

mod generated {
    #![allow(clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
    include!(concat!(env!("OUT_DIR"), "/contracts.rs"));
    // After it: how messages are printed that hold what is not for everybody's eyes.
    include!(concat!(env!("OUT_DIR"), "/redacted.rs"));
}
pub use generated::shop::*;

/// What every service declares about itself: the text of each `services/*/mesh.toml`. Who calls whom
/// is a part of the contracts: access rules for services are about it.
pub const DECLARATIONS: &[&str] = include!(concat!(env!("OUT_DIR"), "/declarations.rs"));

/// Encoded `FileDescriptorSet` of `proto/`, comments and options included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
