//! One service's log: event store and outbox in one, in the service's own PostgreSQL database.
//!
//! An event is durable once it is a row of `log`. It gets there together with the state it
//! announces, by one of three writers:
//!
//! - [`Streams`] commits changes of event-sourced streams, many of them in one statement;
//! - [`Gather`] runs commands on ordinary rows, many of them in one transaction;
//! - [`transact`] runs one closure in a transaction of its own, for everything that is not hot.
//!
//! [`Reader`] reads the log in order, skipping no late commit and waiting for no dead hole. It
//! serves the relay, projections and replays. [`Projection`] feeds a [`View`] with it. [`Replica`]
//! says which processes are at work on the database, hands named [`Lease`]s to one of them at a time,
//! and takes over what a dead one left.
//!
//! ```no_run
//! use futures::FutureExt as _;
//! use mesh_log::{Database, Event};
//!
//! #[derive(Clone, PartialEq, prost::Message)]
//! struct Renamed {
//!     #[prost(string, tag = "1")]
//!     name: String,
//! }
//! impl prost::Name for Renamed {
//!     const NAME: &'static str = "Renamed";
//!     const PACKAGE: &'static str = "stranger.v1";
//! }
//!
//! /// Changes a row and announces it: both happen, or neither.
//! async fn rename(db: &Database, id: uuid::Uuid, name: String) -> sqlx::Result<()> {
//!     mesh_log::transact(db, "rename", move |tx| {
//!         async move {
//!             let version: i32 = sqlx::query_scalar(
//!                 "UPDATE things SET name = $2, version = version + 1 WHERE id = $1 RETURNING version",
//!             )
//!             .bind(id)
//!             .bind(&name)
//!             .fetch_one(&mut *tx)
//!             .await?;
//!             mesh_log::append(tx, id, version, &[Event::public(&Renamed { name })]).await
//!         }
//!         .boxed()
//!     })
//!     .await
//! }
//! ```
#![warn(missing_docs)]

mod append;
mod database;
mod event;
mod gather;
mod limits;
mod pool;
mod projection;
mod reader;
mod replica;
pub mod requests;
mod statement;
mod streams;
mod submit_error;
mod transact;
mod wake;

pub use append::{append, append_all, conclude};
pub use database::{Database, connect, is_connection_lost, migrate_errand};
pub use event::{Event, Meta};
pub use gather::{Gather, Work};
pub use pool::{Connection, Pool};
pub use projection::{Projection, View, ViewError};
pub use reader::{LogRow, Reader};
pub use replica::{Lease, Replica};
pub use statement::{Answer, Traced, returned, statement};
pub use streams::{
    Awake, Change, Companion, Outcome, Recorded, Stored, Streams, Subscription, Watchers,
};
pub use submit_error::SubmitError;
pub use transact::transact;
pub use wake::Wake;

/// The first migration of every service: the tables of this crate.
pub const MIGRATION: &str = include_str!("../migrations/0001_mesh.sql");

/// The migration of services that have views: the table of [`Projection`]'s checkpoints.
pub const PROJECTIONS_MIGRATION: &str = include_str!("../migrations/0002_projections.sql");
