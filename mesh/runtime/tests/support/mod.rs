//! A collector that remembers what it is sent, and can be told to let its senders wait, or to refuse.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    logs::v1::LogRecord,
    metrics::v1::Metric,
    resource::v1::Resource,
    trace::v1::Span,
};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Code, Request, Response, Status, service::Routes};

const UNPOISONED: &str = "nobody panics with it";

/// Listens on a port of its own, on the test's runtime.
#[derive(Clone)]
pub struct Collector {
    pub endpoint: String,
    received: Arc<Mutex<Received>>,
    /// What its senders are told; they wait as long as there is nothing.
    pub answer: watch::Sender<Option<Result<(), Code>>>,
}

/// All that came.
#[derive(Clone, Default)]
pub struct Received {
    pub resources: Vec<Resource>,
    pub spans: Vec<Span>,
    pub metrics: Vec<Metric>,
    pub logs: Vec<LogRecord>,
}

impl Collector {
    /// One that answers when it has been opened.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (answer, _) = watch::channel(None);
        let collector = Self { endpoint, received: Arc::default(), answer };
        let routes = Routes::new(TraceServiceServer::new(collector.clone()))
            .add_service(MetricsServiceServer::new(collector.clone()))
            .add_service(LogsServiceServer::new(collector.clone()));
        tokio::spawn(axum::serve(listener, routes.into_axum_router()).into_future());
        collector
    }

    pub fn open(&self) {
        self.answer.send_replace(Some(Ok(())));
    }

    pub fn received(&self) -> Received {
        self.received.lock().expect(UNPOISONED).clone()
    }

    async fn take(&self, take: impl FnOnce(&mut Received)) -> Result<(), Status> {
        let mut answer = self.answer.subscribe();
        let answer = *answer.wait_for(Option::is_some).await.expect("the sender is here");
        if let Some(Err(code)) = answer {
            return Err(Status::with_details(code, "not now", bytes::Bytes::new()));
        }
        take(&mut self.received.lock().expect(UNPOISONED));
        Ok(())
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(|received| {
            for of in request.into_inner().resource_spans {
                received.resources.extend(of.resource);
                received.spans.extend(of.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        })
        .await?;
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.take(|received| {
            for of in request.into_inner().resource_metrics {
                received.resources.extend(of.resource);
                received.metrics.extend(of.scope_metrics.into_iter().flat_map(|it| it.metrics));
            }
        })
        .await?;
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.take(|received| {
            for of in request.into_inner().resource_logs {
                received.resources.extend(of.resource);
                received.logs.extend(of.scope_logs.into_iter().flat_map(|it| it.log_records));
            }
        })
        .await?;
        Ok(Response::new(Default::default()))
    }
}
