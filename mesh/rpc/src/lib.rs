//! Calls between services: a client channel and a server that agree on deadlines, on what an
//! error means for the one who might repeat the call, and on how to part.
//!
//! To put the whole stack around a tonic service of your own, give its generated server to
//! [`Server`], and its generated client a [`Channel`]:
//!
//! ```
//! use mesh_echo::{DESCRIPTORS, Echo, EchoServiceClient, EchoServiceServer, v1::ReadRequest};
//! use mesh_rpc::{Channel, Server, discovery::Endpoints, policy::LivePolicy};
//! use mesh_runtime::{Service, ServiceConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! # let config = ServiceConfig { log_level: "off".to_owned(), ..ServiceConfig::default() };
//! let service = Service::begin("echo", &config).await?;
//! let policy = LivePolicy::of_service(&service, &config, &[DESCRIPTORS])?;
//! let server = Server::new(&service, &[DESCRIPTORS]).policy(&policy);
//! let address = server.add(EchoServiceServer::new(Echo::default())).serve(config.listen_addr).await?;
//!
//! let channel = Channel::builder("caller", "echo").policy(&policy);
//! let channel = channel.follow(&Endpoints::fixed(&[address])); // or `dns:`, `file:`, …
//! let mut client = EchoServiceClient::new(channel);
//! let answer = client.read(ReadRequest { text: "hello".to_owned() }).await?;
//! # assert_eq!(answer.into_inner().text, "hello");
//! # service.stop();
//! # service.finish().await;
//! # Ok(())
//! # }
//! ```
//!
//! The contract says what may be repeated, hedged, shed first, and how long it may take
//! (`mesh/v1/policy.proto`); an operator's file may turn values within it ([`policy`]).
//!
//! Who calls is said by an [`Identity`]: a certificate, with which every connection is mutual TLS, or a
//! key that signs a token for each call. Who may do what is in the contract as well, and each server
//! checks it ([`access`]).
//!
//! What surrounds a call is made of layers that can each be used alone, by any client that can say
//! how to send a request once: [`deadline`], [`bulkhead`], [`retry`] or [`hedge`] within a
//! [`budget`], [`resend`] below them; around them [`guard`] against retries that multiply over
//! hops, [`refusal()`] that tells what the stack itself refused, and [`fallback`] for answering
//! nevertheless. [`attempt`] shows them together.
#![warn(missing_docs)]

pub mod access;
pub mod attempt;
pub mod balance;
pub mod budget;
pub mod bulkhead;
mod carried;
mod client;
pub mod criticality;
pub mod deadline;
mod deprecated;
pub mod discovery;
pub mod fallback;
mod fault;
mod fields;
mod followed;
mod grpc_timeout;
pub mod guard;
pub mod hedge;
pub mod identity;
pub mod jitter;
pub mod latency;
mod method;
mod page;
pub mod peer;
pub mod policy;
pub mod probe;
pub mod refusal;
pub mod replay;
pub mod resend;
pub mod retry;
pub mod server;
mod telemetry;
pub mod tls;
mod transport;
pub mod turn;

pub use access::Access;
pub use carried::{REQUEST_ID, USER_BUCKET};
pub use client::{Channel, ChannelBuilder, ClientBody, Discovery};
pub use deadline::{Deadline, timeout_request};
pub use deprecated::Deprecated;
pub use fault::{Fault, error_metadata, reason, status};
pub use fields::{Fields, Invalid, Violation};
pub use identity::Identity;
pub use method::{code_name, code_of, is_servers_fault};
pub use page::{Page, page_token};
pub use refusal::{Refusal, refusal};
pub use server::Server;
pub use transport::{Disposition, disposition, normalized};

// A service's own `Fault` names these.
pub use tonic::Code;
pub use tonic_types::ErrorDetails;
