//! `mesh.v1`, the options that contracts use, and `mesh.operator.v1`, the services that every
//! service mounts for its operator. Rust paths mirror proto packages.

mod generated {
    #![allow(clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
    include!(concat!(env!("OUT_DIR"), "/contracts.rs"));
}
pub use generated::mesh::*;

/// Encoded `FileDescriptorSet` of `proto/mesh`, comments and options included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
