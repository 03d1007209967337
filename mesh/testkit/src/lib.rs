//! Real servers for tests: databases, brokers, nameservers, whole platforms of processes, a network
//! that fails on demand, and patience.
//!
//! One PostgreSQL and one nats-server serve all tests of a checkout. The first test that needs
//! them starts them; they end by themselves two minutes after the last test.
#![warn(missing_docs)]

mod broker;
mod browser;
mod build;
mod chromium;
mod database;
mod eventually;
pub mod fuzz;
mod hearing;
pub mod image;
mod isolated;
pub mod nameserver;
mod paths;
mod platform;
mod proxy;
mod released;
mod shared;
mod skipped;
mod sweep;

pub use broker::nats;
pub use browser::{Answer, browse};
pub use build::{program, programs};
pub use chromium::Chromium;
pub use database::{Database, superuser_url};
pub use eventually::{Awaited, eventually, patience};
pub use hearing::hear;
pub use isolated::{IsolatedNats, IsolatedPostgres, isolated_nats, isolated_postgres, nats_with};
pub use paths::workspace;
pub use platform::{Platform, PlatformOptions, ServiceProcess};
pub use proxy::{Fault, Hits, TcpProxy};
pub use released::programs_of;
pub use skipped::skipped;
