//! The policy lab's contract, `echo.v1`, a service of it whose behaviour a test chooses, and a
//! network that fails as it chooses.

mod relay;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use futures::{Stream, StreamExt as _, future::BoxFuture, stream};
use tokio::time::sleep;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

mod generated {
    #![allow(dead_code, clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
    include!(concat!(env!("OUT_DIR"), "/contracts.rs"));
}
pub use generated::echo::v1;
pub use v1::{
    echo_service_client::EchoServiceClient,
    echo_service_server::{EchoService, EchoServiceServer},
};

pub use relay::Relay;

/// Encoded `FileDescriptorSet` of the contract and what it imports, options included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What a handler was asked.
#[derive(Debug)]
pub struct Asked {
    /// The RPC: `Read`, `Put`, ….
    pub rpc: &'static str,
    /// The text; of streams of requests, nothing.
    pub text: String,
    /// What the caller sent besides.
    pub metadata: MetadataMap,
    /// How many calls, of any RPC, came before this one.
    pub number: usize,
}

type Behaviour = dyn Fn(Asked) -> BoxFuture<'static, Result<String, Status>> + Send + Sync;

/// A service that says what it is told. Clones count together.
#[derive(Clone)]
pub struct Echo {
    behaviour: Arc<Behaviour>,
    asked: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    said: Arc<AtomicUsize>,
    running: Running,
}

/// Counts handlers that run, their streams included.
#[derive(Clone, Debug, Default)]
pub struct Running(Arc<AtomicUsize>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Life(Running);

impl Running {
    /// Begins one.
    pub fn begin(&self) -> Life {
        self.0.fetch_add(1, SeqCst);
        Life(self.clone())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

impl Default for Echo {
    fn default() -> Self {
        Self::new(|asked| async { Ok(asked.text) })
    }
}

impl Echo {
    /// A service that answers each call with what `behaviour` makes of it: a unary one with the
    /// text, a streaming one by itself once it is there.
    pub fn new<F>(behaviour: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, Status>> + Send + 'static,
    {
        Self {
            behaviour: Arc::new(move |asked| Box::pin(behaviour(asked))),
            asked: Arc::default(),
            answered: Arc::default(),
            said: Arc::default(),
            running: Running::default(),
        }
    }

    /// How many calls came.
    pub fn asked(&self) -> usize {
        self.asked.load(Relaxed)
    }

    /// How many were answered with success, as far as the handler goes.
    pub fn answered(&self) -> usize {
        self.answered.load(Relaxed)
    }

    /// How many messages of streams were said.
    pub fn said(&self) -> usize {
        self.said.load(Relaxed)
    }

    /// How many calls are worked on: not answered, or with a stream that has not ended.
    pub fn running(&self) -> usize {
        self.running.count()
    }

    async fn behave(
        &self,
        rpc: &'static str,
        text: String,
        metadata: MetadataMap,
    ) -> Result<String, Status> {
        let number = self.asked.fetch_add(1, Relaxed);
        let said = (self.behaviour)(Asked { rpc, text, metadata, number }).await?;
        self.answered.fetch_add(1, Relaxed);
        Ok(said)
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl EchoService for Echo {
    type ListStream = Answers<v1::ListResponse>;
    type ChatStream = Answers<v1::ChatResponse>;

    async fn read(
        &self,
        request: Request<v1::ReadRequest>,
    ) -> Result<Response<v1::ReadResponse>, Status> {
        let _life = self.running.begin();
        let (metadata, _, request) = request.into_parts();
        let text = self.behave("Read", request.text, metadata).await?;
        Ok(Response::new(v1::ReadResponse { text }))
    }

    async fn glance(
        &self,
        request: Request<v1::GlanceRequest>,
    ) -> Result<Response<v1::GlanceResponse>, Status> {
        let _life = self.running.begin();
        let (metadata, _, request) = request.into_parts();
        let text = self.behave("Glance", request.text, metadata).await?;
        Ok(Response::new(v1::GlanceResponse { text }))
    }

    async fn put(
        &self,
        request: Request<v1::PutRequest>,
    ) -> Result<Response<v1::PutResponse>, Status> {
        let _life = self.running.begin();
        let (metadata, _, request) = request.into_parts();
        let text = self.behave("Put", request.text, metadata).await?;
        Ok(Response::new(v1::PutResponse { text }))
    }

    async fn add(
        &self,
        request: Request<v1::AddRequest>,
    ) -> Result<Response<v1::AddResponse>, Status> {
        let _life = self.running.begin();
        let (metadata, _, request) = request.into_parts();
        let text = self.behave("Add", request.text, metadata).await?;
        Ok(Response::new(v1::AddResponse { text }))
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let life = self.running.begin();
        let (metadata, _, request) = request.into_parts();
        let text = self.behave("List", request.text, metadata).await?;
        let pause = request.pause.and_then(|pause| Duration::try_from(pause).ok());
        let said = Arc::clone(&self.said);
        let answers = stream::iter(0..request.count).then(move |index| {
            let (text, _alive) = (text.clone(), &life);
            said.fetch_add(1, Relaxed);
            async move {
                if let Some(pause) = pause.filter(|_| index > 0) {
                    sleep(pause).await;
                }
                Ok(v1::ListResponse { text })
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn collect(
        &self,
        request: Request<Streaming<v1::CollectRequest>>,
    ) -> Result<Response<v1::CollectResponse>, Status> {
        let _life = self.running.begin();
        let (metadata, _, mut requests) = request.into_parts();
        self.behave("Collect", String::new(), metadata).await?;
        let mut count = 0;
        while requests.message().await?.is_some() {
            count += 1;
        }
        Ok(Response::new(v1::CollectResponse { count }))
    }

    async fn chat(
        &self,
        request: Request<Streaming<v1::ChatRequest>>,
    ) -> Result<Response<Self::ChatStream>, Status> {
        let life = self.running.begin();
        let (metadata, _, requests) = request.into_parts();
        self.behave("Chat", String::new(), metadata).await?;
        let counter = Arc::clone(&self.said);
        let answers = requests.map(move |said| {
            let _alive = &life;
            counter.fetch_add(1, Relaxed);
            said.map(|said| v1::ChatResponse { text: said.text })
        });
        Ok(Response::new(answers.boxed()))
    }
}
