//! The caller's side of a handshake.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{ClientStream, Credentials, TlsError, connect, metrics};
use crate::peer::{Namespace, NotSpiffe, SpiffeId};

/// Makes secure connections to services that are known by name. Cheap to clone.
///
/// Whom a connection reaches is decided by the SPIFFE id in the server's certificate: the
/// service's, in the namespace of our own. Host names and addresses decide nothing.
#[derive(Clone, Debug)]
pub struct ClientTls {
    credentials: Credentials,
    namespace: Namespace,
}

impl ClientTls {
    pub(super) fn new(credentials: Credentials) -> Self {
        let namespace = credentials.id().namespace();
        Self { credentials, namespace }
    }

    /// The id that the service `name` must show.
    ///
    /// # Errors
    /// If the name cannot be part of an id.
    pub fn id(&self, name: &str) -> Result<SpiffeId, NotSpiffe> {
        self.namespace.id(name)
    }

    /// A connector to the service `name`, for one endpoint of tonic's or hyper's.
    ///
    /// # Errors
    /// If the name cannot be part of an id.
    pub fn connector(&self, name: &str) -> Result<Connector, NotSpiffe> {
        let expected = self.id(name)?;
        Ok(Connector { inner: Arc::new(Inner { tls: self.clone(), expected }) })
    }

    /// What calls to the service `name` name as their origin: `https://<name>`, so that their
    /// `:scheme` tells the truth while the endpoint's own address stays `http://`, which is what
    /// tonic demands of a connector that brings its own TLS.
    ///
    /// # Errors
    /// If the name cannot be a host.
    pub fn origin(&self, name: &str) -> Result<Uri, http::uri::InvalidUri> {
        format!("https://{name}").parse()
    }

    /// Makes the handshake with `expected` on a fresh connection, and waits until the server has
    /// accepted our certificate: in TLS 1.3 it says so only after its own handshake is done, and
    /// a call that is sent meanwhile would fail without a reason.
    ///
    /// Takes at most 3 s.
    ///
    /// # Errors
    /// If there is no secure connection, or the server is somebody else.
    pub async fn connect<IO>(
        &self,
        expected: &SpiffeId,
        io: IO,
    ) -> Result<ClientStream<IO>, TlsError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let result = connect::run(io, &self.credentials.current(), expected).await;
        metrics::connected(expected.service(), result.as_ref().err());
        result
    }

    /// Who this caller is, and until when.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }
}

/// Connects to an address by TCP and makes the handshake there. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tls: ClientTls,
    expected: SpiffeId,
}

/// What connecting can fail with: a [`TlsError`] or an [`io::Error`](std::io::Error).
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<ClientStream<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
            stream.set_nodelay(true)?;
            let stream = inner.tls.connect(&inner.expected, stream).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// What the handshake names as the server, for servers with several certificates.
pub(super) fn server_name(expected: &SpiffeId) -> ServerName<'static> {
    ServerName::try_from(expected.service().to_owned())
        // A name that no host can have; addresses are not sent.
        .unwrap_or_else(|_| ServerName::from(IpAddr::from([0, 0, 0, 0])))
}
