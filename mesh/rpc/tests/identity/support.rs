//! A server that answers with who called it, and callers of every kind.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::Request as HttpRequest;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_local::{Authority, Holder, Issued};
use mesh_proto::operator::v1::{
    CompensateSagaRequest, CompensateSagaResponse, GetSagaRequest, GetSagaResponse,
    ListSagasRequest, ListSagasResponse, ResolveSagaRequest, ResolveSagaResponse, RetrySagaRequest,
    RetrySagaResponse, Saga,
    sagas_service_client::SagasServiceClient,
    sagas_service_server::{SagasService, SagasServiceServer},
};
use mesh_rpc::{
    Identity, normalized,
    peer::{Authenticator, Connection, Mode, Peer},
    tls::{Credentials, ServerTls, TlsFiles},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tonic::{
    Request, Response, Status,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tower::{Layer as _, Service as _};
use uuid::Uuid;

pub const HOUR: Duration = Duration::from_secs(3600);
pub const XFCC: &str = "x-forwarded-client-cert";

/// An authority in a directory of its own, removed at the end.
pub struct Lab {
    pub authority: Authority,
    pub dir: PathBuf,
}

impl Lab {
    pub fn new() -> Self {
        let name = format!("identity-{}", Uuid::new_v4().simple());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        Self { authority: Authority::open(&dir).unwrap(), dir }
    }

    /// The files of a service with a fresh certificate.
    pub fn files(&self, service: &str) -> TlsFiles {
        files(self.authority.issue(service).unwrap())
    }

    pub fn identity(&self, service: &str) -> Identity {
        Identity::from(self.credentials(service))
    }

    /// Issues `service` a certificate that ends then, in place of the one that it has.
    pub fn reissue(&self, service: &str, ends: SystemTime) -> TlsFiles {
        let holder = Holder::Service(service.to_owned());
        files(self.authority.issue_between(&holder, SystemTime::now() - HOUR, ends).unwrap())
    }

    pub fn credentials(&self, service: &str) -> Credentials {
        Credentials::read(self.files(service)).unwrap()
    }

    /// The credentials of a service whose certificate ended an hour ago.
    pub fn expired(&self, service: &str) -> Credentials {
        let now = SystemTime::now();
        let holder = Holder::Service(service.to_owned());
        let issued = self.authority.issue_between(&holder, now - 2 * HOUR, now - HOUR).unwrap();
        Credentials::read(files(issued)).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub fn files(issued: Issued) -> TlsFiles {
    let files = issued.files;
    TlsFiles { certificate: files.certificate, key: files.key, trust: files.trust }
}

/// What a server is like.
pub struct Options {
    pub tls: Option<ServerTls>,
    pub authenticator: Authenticator,
    /// When connections are told good-bye.
    pub age: Duration,
}

impl Options {
    pub fn plaintext(service: &'static str, mode: Mode) -> Self {
        let namespace = mesh_local::NAMESPACE.parse().unwrap();
        let authenticator = Authenticator::new(service, namespace, mode);
        Self { tls: None, authenticator, age: HOUR }
    }

    pub fn tls(service: &'static str, credentials: &Credentials) -> Self {
        let tls = Some(credentials.server(service));
        Self { tls, ..Self::plaintext(service, Mode::Required) }
    }

    pub fn behind_sidecar(mut self, address: [u8; 4]) -> Self {
        self.authenticator = self.authenticator.behind_sidecar(IpAddr::from(address));
        self
    }
}

/// A server whose `GetSaga` answers with the caller's key.
pub struct Callee {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
}

/// What reached the server.
#[derive(Default)]
pub struct Seen {
    pub handled: AtomicUsize,
    /// When the sessions of its connections end.
    pub ends: Mutex<Vec<SystemTime>>,
    /// The metadata of the last call.
    pub metadata: Mutex<MetadataMap>,
}

impl Callee {
    pub async fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let server = Server { options: Arc::new(options), seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                tokio::spawn(server.clone().converse(stream, from));
            }
        });
        Self { address, seen }
    }

    pub fn handled(&self) -> usize {
        self.seen.handled.load(Ordering::Relaxed)
    }

    /// Calls it as the service of `credentials` that believes it is `target`.
    pub fn channel(&self, credentials: &Credentials, target: &str) -> Channel {
        let tls = credentials.client();
        self.endpoint()
            .origin(tls.origin(target).unwrap())
            .connect_with_connector_lazy(tls.connector(target).unwrap())
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap()
    }
}

/// Calls `GetSaga` and returns who the server says that it was called by.
pub async fn who(channel: &Channel) -> Result<String, Status> {
    ask(channel, Request::new(GetSagaRequest::default())).await
}

pub async fn ask(channel: &Channel, request: Request<GetSagaRequest>) -> Result<String, Status> {
    match SagasServiceClient::new(channel.clone()).get_saga(request).await {
        Ok(response) => Ok(response.into_inner().saga.unwrap_or_default().saga_id),
        Err(status) => Err(normalized(status)),
    }
}

/// The value of a metric whose name and labels are these; 0 if there is none.
pub fn metric(name: &str, labels: &[&str]) -> f64 {
    let text = mesh_runtime::metrics::render().unwrap();
    let found = |line: &&str| line.starts_with(name) && labels.iter().all(|it| line.contains(it));
    text.lines().filter(found).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[derive(Clone)]
struct Server {
    options: Arc<Options>,
    seen: Arc<Seen>,
}

impl Server {
    async fn converse(self, stream: TcpStream, from: SocketAddr) {
        stream.set_nodelay(true).unwrap();
        let (stream, rest) = twice(stream);
        self.answer(stream, from).await;
        linger(rest).await;
    }

    async fn answer(&self, stream: TcpStream, from: SocketAddr) {
        let Some(tls) = &self.options.tls else {
            return self.serve(stream, Connection::plaintext(from)).await;
        };
        let Ok(stream) = tls.accept(stream, from).await else { return };
        self.seen.ends.lock().unwrap().push(stream.session().ends());
        let connection = Connection::secure(from, Arc::clone(stream.session()));
        self.serve(stream, connection).await;
    }

    async fn serve<IO>(&self, io: IO, connection: Connection)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server = SagasServiceServer::new(Sagas(Arc::clone(&self.seen)));
        let layered = self.options.authenticator.layer().layer(server);
        let answer = service_fn(move |request: HttpRequest<hyper::body::Incoming>| {
            let mut request = request.map(tonic::body::Body::new);
            request.extensions_mut().insert(connection.clone());
            let mut layered = layered.clone();
            async move { Ok::<_, Infallible>(layered.call(request).await.unwrap()) }
        });
        let served =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), answer);
        let mut served = std::pin::pin!(served);
        tokio::select! {
            _ = served.as_mut() => {}
            () = sleep(self.options.age) => {
                served.as_mut().graceful_shutdown();
                let _ = served.await;
            }
        }
    }
}

/// The same socket twice: it stays open when one of the two is dropped.
fn twice(stream: TcpStream) -> (TcpStream, TcpStream) {
    let stream = stream.into_std().unwrap();
    let again = stream.try_clone().unwrap();
    (TcpStream::from_std(stream).unwrap(), TcpStream::from_std(again).unwrap())
}

/// Reads on until the peer has closed its side too: a reset would take the good-bye from it.
async fn linger(mut rest: TcpStream) {
    let _ = rest.shutdown().await;
    let mut ignored = [0; 1024];
    let end = async { while let Ok(1..) = rest.read(&mut ignored).await {} };
    let _ = timeout(Duration::from_secs(1), end).await;
}

/// Answers with the caller's key.
pub struct Sagas(pub Arc<Seen>);

#[tonic::async_trait]
impl SagasService for Sagas {
    async fn get_saga(
        &self,
        request: Request<GetSagaRequest>,
    ) -> Result<Response<GetSagaResponse>, Status> {
        self.0.handled.fetch_add(1, Ordering::Relaxed);
        *self.0.metadata.lock().unwrap() = request.metadata().clone();
        let peer = request.extensions().get::<Peer>();
        let saga_id = match peer {
            Some(peer) => {
                format!("{} by {:?}", peer.service().unwrap_or("somebody"), peer.source())
            }
            None => "nobody".to_owned(),
        };
        Ok(Response::new(GetSagaResponse { saga: Some(Saga { saga_id, ..Saga::default() }) }))
    }

    async fn list_sagas(
        &self,
        _request: Request<ListSagasRequest>,
    ) -> Result<Response<ListSagasResponse>, Status> {
        Ok(Response::new(ListSagasResponse::default()))
    }

    async fn retry_saga(
        &self,
        _request: Request<RetrySagaRequest>,
    ) -> Result<Response<RetrySagaResponse>, Status> {
        Ok(Response::new(RetrySagaResponse::default()))
    }

    async fn compensate_saga(
        &self,
        _request: Request<CompensateSagaRequest>,
    ) -> Result<Response<CompensateSagaResponse>, Status> {
        Ok(Response::new(CompensateSagaResponse::default()))
    }

    async fn resolve_saga(
        &self,
        _request: Request<ResolveSagaRequest>,
    ) -> Result<Response<ResolveSagaResponse>, Status> {
        Ok(Response::new(ResolveSagaResponse::default()))
    }
}
