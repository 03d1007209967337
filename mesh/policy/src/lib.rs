//! What contracts say about calls, and what operators may turn within it. No I/O.
//!
//! A contract holds facts, bounds and defaults, as `mesh.v1` options: [`Table`] reads them from
//! descriptor sets, which are the only source because generated code drops custom options. What
//! somebody turns in an incident is a TOML text: [`Overlay`] reads it. [`Effective`] is both
//! together: for every value what it is and where it comes from, and a refusal in words for a text
//! that asks for more than the contracts allow.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use mesh_policy::{Effective, Overlay, Table};
//!
//! let table = Arc::new(Table::from_descriptors(&[mesh_proto::DESCRIPTORS])?);
//! let list = table.method("mesh.operator.v1.SagasService/ListSagas").expect("is in the set");
//! assert!(list.default_deadline <= list.max_deadline);
//!
//! let overlay = Overlay::parse(
//!     r#"
//!     [methods."mesh.operator.v1.SagasService/*"]
//!     deadline = "2s"
//!     retry.attempts = 2
//!     "#,
//! )?;
//! let effective = Effective::new(table, &overlay)?;
//! let list = effective.method("mesh.operator.v1.SagasService/ListSagas").expect("as above");
//! assert_eq!((list.deadline, list.retry.attempts), (Duration::from_secs(2), 2));
//!
//! let greedy = Overlay::parse("[methods.'*']\nretry.attempts = 9")?;
//! let refused = Effective::new(effective.contracts().clone(), &greedy).unwrap_err();
//! assert_eq!(refused.to_string(), r#"methods."*".retry.attempts: 9 is out of bounds: 1 to 5"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

mod access;
mod code;
mod deprecation;
mod effective;
mod method;
mod nearest;
pub mod overlay;
mod read;
mod table;
mod time;
pub mod values;

pub use access::{Access, Callers, Owner, Sensitivity, Served};
pub use code::RetryCodes;
pub use deprecation::Deprecation;
pub use effective::{Effective, Row, Source};
pub use method::{Criticality, Idempotency, Method, RequestId, Service};
pub use nearest::nearest;
pub use overlay::{Overlay, Refused};
pub use table::{Error, Table};

#[cfg(test)]
mod testing;
