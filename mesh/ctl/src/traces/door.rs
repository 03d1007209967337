//! Where spans come in by OTLP over gRPC, and where questions about them are answered.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response as HttpResponse};
use axum::routing::get;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

use super::{Buffer, Limits, talks};

/// Of so many traces is counted what services ask each other: enough to judge by, and no work that others
/// would wait for.
const JUDGED: usize = 2_000;

/// An open door to a buffer, on loopback: no account of what is said there leaves this machine, and
/// spans carry no personal data. Closed with the value.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    buffer: Arc<Buffer>,
    serving: JoinHandle<()>,
}

struct Receiver(Arc<Buffer>);

impl Door {
    /// Opens it at a loopback port; 0 takes a free one.
    pub async fn open(port: u16, limits: Limits) -> Result<Door> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener =
            listener.with_context(|| format!("cannot listen on port {port} for traces"))?;
        let address = listener.local_addr()?;
        let buffer = Arc::new(Buffer::new(limits));
        let questions = axum::Router::new()
            .route("/about", get(about))
            .route("/traces/{id}", get(traces))
            .route("/talks", get(asked))
            .with_state(Arc::clone(&buffer));
        let receiver = TraceServiceServer::new(Receiver(Arc::clone(&buffer)));
        let router = Routes::new(receiver).into_axum_router().merge(questions);
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("  traces are not taken in any more: {error}");
            }
        });
        Ok(Door { address, buffer, serving })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `OTLP_ENDPOINT` is to be set to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came in.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn about(State(buffer): State<Arc<Buffer>>) -> HttpResponse {
    Json(buffer.about()).into_response()
}

async fn traces(State(buffer): State<Arc<Buffer>>, Path(id): Path<String>) -> HttpResponse {
    match id.parse() {
        Ok(asked) => Json(buffer.answer(asked)).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

async fn asked(State(buffer): State<Arc<Buffer>>) -> HttpResponse {
    Json(talks(buffer.newest(JUDGED))).into_response()
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.iter().flat_map(|resource| &resource.scope_spans);
        let sent: usize = scopes.map(|scope| scope.spans.len()).sum();
        let (refused, why) = self.0.take(resources);
        // As OTLP says: not to be sent again, and partly right is partly taken.
        if refused > 0 && refused == sent as u64 {
            return Err(Status::with_details(Code::InvalidArgument, why, bytes::Bytes::new()));
        }
        let partial_success = (refused > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(refused).unwrap_or(i64::MAX),
            error_message: why.to_owned(),
        });
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}
