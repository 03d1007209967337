//! Calls between services: a client channel and a server that agree on deadlines, on what an
//! error means for the one who might repeat the call, and on how to part.
//!
//! A server, and a client of it:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mesh_proto::operator::v1::{
//!     ListSagasRequest, sagas_service_client::SagasServiceClient,
//!     sagas_service_server::{SagasService, SagasServiceServer},
//! };
//! use mesh_rpc::{Discovery, Server, timeout_request};
//! use mesh_runtime::{Service, ServiceConfig, Started};
//!
//! async fn start(config: ServiceConfig, sagas: impl SagasService) -> anyhow::Result<Started> {
//!     let service = Service::begin("orders", &config).await?;
//!     let grpc = Server::new(&service, &[mesh_proto::DESCRIPTORS])
//!         .add(SagasServiceServer::new(sagas))
//!         .serve(config.listen_addr)
//!         .await?;
//!     Ok(Started { service, grpc })
//! }
//!
//! async fn ask(service: &Service, discovery: &Discovery) -> anyhow::Result<()> {
//!     let mut sagas = SagasServiceClient::new(discovery.channel(service, "orders")?);
//!     let request = timeout_request(ListSagasRequest::default(), Duration::from_secs(1));
//!     if let Err(status) = sagas.list_sagas(request).await {
//!         println!("{:?}: {:?}", mesh_rpc::disposition(&status), mesh_rpc::reason(&status));
//!     }
//!     Ok(())
//! }
//! ```
#![warn(missing_docs)]

mod client;
mod deadline;
mod fault;
mod fields;
mod grpc_timeout;
mod method;
mod server;
mod telemetry;
mod transport;

pub use client::{Channel, Discovery};
pub use deadline::{Deadline, timeout_request};
pub use fault::{Fault, error_metadata, reason, status};
pub use fields::{Fields, Invalid, Violation};
pub use server::Server;
pub use transport::{Disposition, disposition};

// A service's own `Fault` names these.
pub use tonic::Code;
pub use tonic_types::ErrorDetails;
