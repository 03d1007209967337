//! The contracts' policies by name.

use std::{collections::HashMap, sync::Arc};

use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::{Method, Sensitivity, Service, access, read};

/// The policy of every RPC of the contracts it was read from. A look-up is one hash of its path.
#[derive(Clone, Debug, Default)]
pub struct Table {
    methods: HashMap<Arc<str>, Method>,
    services: HashMap<Arc<str>, Service>,
    sensitive: HashMap<Arc<str>, Sensitivity>,
}

impl Table {
    /// Reads encoded `FileDescriptorSet`s; the same file may occur in several of them.
    ///
    /// Every RPC must be annotated with `mesh.v1.method` and every service with `mesh.v1.service`,
    /// and one of them must say who may call it, each in itself without contradiction. The first one
    /// that is not is the error.
    pub fn from_descriptors(sets: &[&[u8]]) -> Result<Self, Error> {
        let mut pool = DescriptorPool::new();
        for set in sets {
            pool.decode_file_descriptor_set(*set).map_err(|error| Error::Set(error.to_string()))?;
        }
        let sensitive = access::read::sensitive(&pool, pool.all_messages())?;
        let mut table = Self { sensitive, ..Self::default() };
        for descriptor in pool.services() {
            let service = read::service(&pool, &descriptor)?;
            table.services.insert(Arc::clone(&service.name), service);
            for descriptor in descriptor.methods() {
                let method = read::method(&pool, &descriptor, path(&descriptor))?;
                table.methods.insert(Arc::clone(&method.path), method);
            }
        }
        Ok(table)
    }

    /// Returns the policy of `package.Service/Method`.
    pub fn method(&self, path: &str) -> Option<&Method> {
        self.methods.get(path)
    }

    /// Lists the policy of every RPC, in no order.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.values()
    }

    /// Returns what holds for every RPC of `package.Service`.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.get(name)
    }

    /// What a field, `package.Message.field`, holds that is not for everybody's eyes; nothing if its
    /// contract does not say so.
    pub fn sensitivity(&self, field: &str) -> Option<Sensitivity> {
        self.sensitive.get(field).copied()
    }

    /// Lists what holds for every service, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }
}

/// What is wrong with a contract.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A `mesh.toml` could not be read.
    #[error("a mesh.toml: {0}")]
    Declaration(String),
    /// A descriptor set could not be read.
    #[error("descriptor set: {0}")]
    Set(String),
    /// An RPC or a service has no policy, or one without a needed part.
    #[error("{subject}: {part} is missing")]
    Missing {
        /// The RPC or service.
        subject: Arc<str>,
        /// The part of the policy.
        part: &'static str,
    },
    /// Two statements about an RPC or a service cannot both hold, or one never can.
    #[error("{subject}: {why}")]
    Contradiction {
        /// The RPC or service.
        subject: Arc<str>,
        /// The contradiction.
        why: String,
    },
}

fn path(descriptor: &MethodDescriptor) -> Arc<str> {
    format!("{}/{}", descriptor.parent_service().full_name(), descriptor.name()).into()
}

#[cfg(test)]
mod tests;
