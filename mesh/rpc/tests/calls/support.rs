//! A service with a handler that a test chooses, and ways to reach it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use mesh_proto::operator::v1::{
    CompensateSagaRequest, CompensateSagaResponse, GetSagaRequest, GetSagaResponse,
    ListSagasRequest, ListSagasResponse, ResolveSagaRequest, ResolveSagaResponse, RetrySagaRequest,
    RetrySagaResponse, Saga,
    sagas_service_client::SagasServiceClient,
    sagas_service_server::{SagasService, SagasServiceServer},
};
use mesh_rpc::{Channel, Server};
use mesh_runtime::{Service, ServiceConfig};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Request, Response, Status};

/// Longer than anything here should take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A server whose one interesting RPC, `GetSaga`, is answered by a closure.
pub struct Callee {
    pub service: Service,
    pub address: SocketAddr,
}

impl Callee {
    /// Starts one that answers with the saga's id.
    pub async fn echo() -> Self {
        Self::start(config(), |id| async { Ok(id) }).await
    }

    pub async fn start<F>(
        config: ServiceConfig,
        handler: impl Fn(String) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<String, Status>> + Send + 'static,
    {
        let service = Service::begin("callee", &config).await.unwrap();
        let handler: Handler = Arc::new(move |id| Box::pin(handler(id)));
        let address = Server::new(&service, &[])
            .add(SagasServiceServer::new(Sagas(handler)))
            .serve(config.listen_addr)
            .await
            .unwrap();
        Self { service, address }
    }

    pub fn channel(&self, target: &str) -> Channel {
        Channel::new("caller", target, &[self.address]).unwrap()
    }

    /// Stops it in order and returns when it has gone.
    pub async fn stop(self) {
        self.service.stop();
        tokio::time::timeout(PATIENCE, self.service.finish()).await.expect("ends in time");
    }
}

pub fn config() -> ServiceConfig {
    ServiceConfig { log_level: "off".to_owned(), ..ServiceConfig::default() }
}

pub fn saga(id: &str) -> GetSagaRequest {
    GetSagaRequest { saga_id: id.to_owned() }
}

/// Calls `GetSaga` and returns what the handler said.
pub async fn get(channel: &Channel, request: Request<GetSagaRequest>) -> Result<String, Status> {
    let response = SagasServiceClient::new(channel.clone()).get_saga(request).await?;
    Ok(response.into_inner().saga.unwrap_or_default().saga_id)
}

/// Sends one HTTP/1.1 request and returns status line, headers and body as text.
pub async fn http(address: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

type Handler = Arc<dyn Fn(String) -> BoxFuture<'static, Result<String, Status>> + Send + Sync>;

struct Sagas(Handler);

#[tonic::async_trait]
impl SagasService for Sagas {
    async fn get_saga(
        &self,
        request: Request<GetSagaRequest>,
    ) -> Result<Response<GetSagaResponse>, Status> {
        let saga_id = (self.0)(request.into_inner().saga_id).await?;
        let saga = Saga { saga_id, ..Saga::default() };
        Ok(Response::new(GetSagaResponse { saga: Some(saga) }))
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
