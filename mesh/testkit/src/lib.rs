//! Real servers for tests: databases, brokers, whole platforms of processes, and patience.
//!
//! One PostgreSQL and one nats-server serve all tests of a checkout. The first test that needs
//! them starts them; they end by themselves two minutes after the last test.
#![warn(missing_docs)]

mod broker;
mod build;
mod database;
mod eventually;
mod isolated;
mod paths;
mod platform;
mod shared;
mod sweep;

pub use broker::nats;
pub use database::{Database, superuser_url};
pub use eventually::{Awaited, eventually, patience};
pub use isolated::{IsolatedNats, IsolatedPostgres, isolated_nats, isolated_postgres};
pub use paths::workspace;
pub use platform::{Platform, PlatformOptions, ServiceProcess};
