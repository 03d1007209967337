//! Events between services: each published once it is in the log, each applied once in effect.
//!
//! - [`Relay`] publishes a service's log to its stream, in log order, and finds its place in the
//!   stream itself, whatever the broker lost.
//! - [`Consumer`] hands the events of another service's stream to a [`Handler`], in order per key,
//!   and turns what cannot be applied into dead letters.
//! - [`Claim`] makes one effect of many deliveries: it is taken in the transaction of the effect.
//! - [`dead_letters_service`] shows dead letters to the operator, and tries them again.
//!
//! The broker may be away, lose its end, or be made anew: what is in the log is published again,
//! and what was applied before changes nothing.
//!
//! ```no_run
//! use futures::FutureExt as _;
//! use mesh_events::{Consumer, Relay, dead_letters_service, transactional};
//! use mesh_runtime::{Service, ServiceConfig};
//!
//! /// What another service announces.
//! #[derive(Clone, PartialEq, prost::Message)]
//! struct Renamed {
//!     #[prost(string, tag = "1")]
//!     name: String,
//! }
//!
//! static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate::Migrator::DEFAULT;
//!
//! async fn start(config: &ServiceConfig) -> anyhow::Result<()> {
//!     let service = Service::begin("labels", config).await?;
//!     let db = mesh_log::connect(&service, config, &MIGRATIONS).await?;
//!     let nats = mesh_events::connect(&service, config).await?;
//!
//!     // What this service announces goes out through its own stream.
//!     Relay::start(&service, &db, &nats, "labels");
//!
//!     // What the other one announces changes a row here, once.
//!     let handler = transactional(&db, "thing_renamed", |tx, event| {
//!         async move {
//!             let renamed: Renamed = event.decode()?;
//!             sqlx::query("UPDATE labels SET name = $2 WHERE thing = $1 AND version < $3")
//!                 .bind(event.key)
//!                 .bind(renamed.name)
//!                 .bind(event.version)
//!                 .execute(tx)
//!                 .await?;
//!             Ok(())
//!         }
//!         .boxed()
//!     });
//!     let subjects = ["stranger.v1.Renamed"];
//!     let things = Consumer::start(&service, &db, &nats, "things", &subjects, handler);
//!
//!     let operator = dead_letters_service(&service, &db, vec![things]);
//!     # let _ = operator;
//!     Ok(())
//! }
//! ```
#![warn(missing_docs)]

mod backoff;
mod claim;
mod consumer;
mod dead_letters;
mod envelope;
mod handler;
mod incoming;
mod nats;
mod relay;
mod streams;
mod traffic;

pub use claim::{Claim, take_all};
pub use consumer::{Consumer, ConsumerOptions};
pub use dead_letters::dead_letters_service;
pub use handler::{HandleError, Handler, transactional};
pub use incoming::Incoming;
pub use nats::{Nats, connect};
pub use relay::{Relay, hint_subject};
pub use streams::{DUPLICATE_WINDOW, STREAM_AGE_LIMIT, ensure_stream, stream_config};
