//! What contracts say about calls: the `mesh.v1` options, read from descriptor sets. No I/O.
//!
//! A descriptor set is the only source, because generated code drops custom options.
//!
//! ```
//! use std::time::Duration;
//!
//! let table = mesh_policy::Table::from_descriptors(&[mesh_proto::DESCRIPTORS])?;
//! let method = table.method("mesh.operator.v1.SagasService/ListSagas").expect("is in the set");
//! assert!(method.default_deadline <= method.max_deadline);
//! assert!(method.max_deadline < Duration::from_secs(3600));
//! # Ok::<(), mesh_policy::Error>(())
//! ```
#![warn(missing_docs)]

use std::{collections::HashMap, sync::Arc, time::Duration};

use prost_reflect::{DescriptorPool, MethodDescriptor};

mod read;

/// The policy of every RPC of the contracts it was read from.
#[derive(Clone, Debug, Default)]
pub struct Table {
    methods: HashMap<Arc<str>, Method>,
}

impl Table {
    /// Reads encoded `FileDescriptorSet`s; the same file may occur in several of them.
    ///
    /// Every RPC must be annotated with `mesh.v1.method`, in itself without contradiction.
    pub fn from_descriptors(sets: &[&[u8]]) -> Result<Self, Error> {
        let mut pool = DescriptorPool::new();
        for set in sets {
            pool.decode_file_descriptor_set(*set).map_err(|error| Error::Set(error.to_string()))?;
        }
        let mut methods = HashMap::new();
        for service in pool.services() {
            for descriptor in service.methods() {
                let method = read::method(&pool, &descriptor, path(&descriptor))?;
                methods.insert(Arc::clone(&method.path), method);
            }
        }
        Ok(Self { methods })
    }

    /// Returns the policy of `package.Service/Method`.
    pub fn method(&self, path: &str) -> Option<&Method> {
        self.methods.get(path)
    }

    /// Lists the policy of every RPC, in no order.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.values()
    }
}

/// How one RPC may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// `package.Service/Method`.
    pub path: Arc<str>,
    /// The deadline of a call that comes without one.
    pub default_deadline: Duration,
    /// The longest deadline that is honoured.
    pub max_deadline: Duration,
    /// Whether the request carries the key that makes it idempotent.
    pub request_id: RequestId,
    /// What protobuf's own `idempotency_level` says.
    pub idempotency: Idempotency,
    /// Whether the server answers with a stream.
    pub server_streaming: bool,
    /// Whether the client sends a stream.
    pub client_streaming: bool,
}

/// Whether a request carries a `request_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// The RPC changes nothing.
    NotNeeded,
    /// The request must carry it.
    Required,
    /// The RPC changes something and is safe to repeat without one.
    Exempt,
}

/// Protobuf's `idempotency_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// The contract does not say.
    Unknown,
    /// The RPC has no side effects.
    NoSideEffects,
    /// The RPC has the same effect when it is repeated.
    Idempotent,
}

/// What is wrong with a contract.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A descriptor set could not be read.
    #[error("descriptor set: {0}")]
    Set(String),
    /// An RPC has no policy, or one without a needed part.
    #[error("{method}: {part} is missing")]
    Missing {
        /// The RPC.
        method: Arc<str>,
        /// The part of the policy.
        part: &'static str,
    },
    /// Two statements about an RPC cannot both hold.
    #[error("{method}: {why}")]
    Contradiction {
        /// The RPC.
        method: Arc<str>,
        /// The contradiction.
        why: &'static str,
    },
}

fn path(descriptor: &MethodDescriptor) -> Arc<str> {
    format!("{}/{}", descriptor.parent_service().full_name(), descriptor.name()).into()
}

#[cfg(test)]
mod tests;
