//! What every service of the platform is made of, apart from what it does: configuration,
//! lifecycle, health, admin port, telemetry.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use mesh_runtime::{Service, ServiceConfig, Started};
//!
//! /// Says hello.
//! #[derive(clap::Parser)]
//! struct Config {
//!     #[command(flatten)]
//!     service: ServiceConfig,
//! }
//!
//! impl AsRef<ServiceConfig> for Config {
//!     fn as_ref(&self) -> &ServiceConfig {
//!         &self.service
//!     }
//! }
//!
//! async fn start(config: Config) -> anyhow::Result<Started> {
//!     let service = Service::begin("greeter", &config.service).await?;
//!     let stopped = service.stopped();
//!     service.spawn("greetings", async move { stopped.cancelled().await });
//!     // A real service binds `mesh_rpc::Server` here and returns its address.
//!     Ok(Started { grpc: service.admin_addr(), service })
//! }
//!
//! fn main() -> ExitCode {
//!     mesh_runtime::main("greeter", start, Vec::new())
//! }
//! ```
#![warn(missing_docs)]

mod admin;
mod b3;
mod config;
pub mod correlation;
pub mod crash;
pub mod deadline;
mod errand;
mod health;
mod hex;
pub mod metrics;
mod process;
mod service;
mod tables;
pub mod telemetry;
pub mod trace;

pub use config::{
    ConfigError, DnsName, LogFormat, Secret, ServiceConfig, Signal, Source, Target, USER_AUDIENCE,
    USER_ISSUER, parse_discovery,
};
pub use errand::Errand;
pub use health::{Condition, ConditionReport, Health, Readiness, State};
pub use process::{Started, main};
pub use service::{Hold, Service};

/// The allocator of a service's program, which its `main.rs` names as `#[global_allocator]`: calls
/// are short-lived allocations, and glibc's costs an order 5 % more of the processor.
pub use mimalloc::MiMalloc as Allocator;
