//! Mutual TLS without a sidecar: both ends name themselves by SPIFFE id, with certificates that are
//! replaced while calls run.
//!
//! TLS 1.3 only, ALPN `h2`, no session resumption: each connection shows a certificate that is
//! valid when it begins. What ends a handshake and what does not:
//!
//! | the caller's certificate | what happens |
//! |---|---|
//! | good | the call has a [`Peer`](crate::peer::Peer) |
//! | missing | the handshake passes; [`Authenticator`](crate::peer::Authenticator) refuses the call |
//! | expired, or signed by a stranger | the handshake ends with an alert, which [`TlsError`] names |
//! | none, in plaintext | the connection ends with HTTP/2's INADEQUATE_SECURITY |
//!
//! A server and a client of somebody else's tonic service:
//!
//! ```no_run
//! use mesh_rpc::tls::{Credentials, TlsFiles};
//! use tonic::transport::Endpoint;
//!
//! async fn serve(files: TlsFiles) -> anyhow::Result<()> {
//!     let tls = Credentials::follow(files)?.server("orders");
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:7001").await?;
//!     loop {
//!         let (stream, from) = listener.accept().await?;
//!         let tls = tls.clone();
//!         tokio::spawn(async move {
//!             if let Ok(stream) = tls.accept(stream, from).await {
//!                 println!("{:?} until {:?}", stream.session().presented(), stream.session().ends());
//!                 // hyper serves the stream.
//!             }
//!         });
//!     }
//! }
//!
//! fn channel(credentials: &Credentials) -> anyhow::Result<tonic::transport::Channel> {
//!     let tls = credentials.client();
//!     Ok(Endpoint::from_static("http://127.0.0.1:7001")
//!         .origin(tls.origin("orders")?)
//!         .connect_with_connector_lazy(tls.connector("orders")?))
//! }
//! ```
//!
//! **Cost.** A handshake takes about a millisecond of CPU on each side; a call costs what AES-GCM
//! costs for its bytes. Files are looked at once a second.

mod accept;
mod client;
mod config;
mod connect;
mod credentials;
mod error;
mod material;
mod metrics;
mod plaintext;
mod server;
mod session;
mod stream;

pub use client::{ClientTls, Connector};
pub use credentials::Credentials;
pub use error::{FilesError, TlsError};
pub use material::TlsFiles;
pub use server::ServerTls;
pub use session::{Presented, Session};
pub use stream::{ClientStream, ServerStream};
