//! A service that answers with what the next one answers.

use mesh_echo::{EchoService, EchoServiceClient, Running, v1};
use mesh_rpc::Channel;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::support::{Stack, failed};

/// Reads and lists at the next service.
#[derive(Clone)]
pub struct Hop {
    next: EchoServiceClient<Channel>,
    pub running: Running,
}

impl Hop {
    pub fn to(next: &Stack) -> Self {
        Self { next: next.client(), running: Running::default() }
    }
}

type Answers<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl EchoService for Hop {
    type ListStream = Answers<v1::ListResponse>;
    type ChatStream = Answers<v1::ChatResponse>;

    async fn read(
        &self,
        request: Request<v1::ReadRequest>,
    ) -> Result<Response<v1::ReadResponse>, Status> {
        let _life = self.running.begin();
        // A handler makes a status of its own from what it got.
        let answer = self.next.clone().read(request.into_inner()).await;
        let answer = answer.map_err(|status| failed(status.code()))?;
        Ok(Response::new(answer.into_inner()))
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let life = self.running.begin();
        let answers = self.next.clone().list(request.into_inner()).await;
        let answers = answers.map_err(|status| failed(status.code()))?.into_inner();
        let answers = answers.map(move |answer| {
            let _alive = &life;
            answer.map_err(|status| failed(status.code()))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn glance(
        &self,
        _: Request<v1::GlanceRequest>,
    ) -> Result<Response<v1::GlanceResponse>, Status> {
        unreachable!("nobody asks this of a hop")
    }

    async fn put(&self, _: Request<v1::PutRequest>) -> Result<Response<v1::PutResponse>, Status> {
        unreachable!("nobody asks this of a hop")
    }

    async fn add(&self, _: Request<v1::AddRequest>) -> Result<Response<v1::AddResponse>, Status> {
        unreachable!("nobody asks this of a hop")
    }

    async fn collect(
        &self,
        _: Request<Streaming<v1::CollectRequest>>,
    ) -> Result<Response<v1::CollectResponse>, Status> {
        unreachable!("nobody asks this of a hop")
    }

    async fn chat(
        &self,
        _: Request<Streaming<v1::ChatRequest>>,
    ) -> Result<Response<Self::ChatStream>, Status> {
        unreachable!("nobody asks this of a hop")
    }
}
