//! Spans on their way: batch by batch to the collector, by OTLP over gRPC.

use std::{env, str::FromStr, sync::Arc, time::Duration};

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use opentelemetry_sdk::Resource;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint, Error},
};

use super::{
    otlp::{LIMIT, SPANS_NOT_SENT},
    queue::{Batch, Limits, Queue},
    wire::{self, Value},
};

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// OpenTelemetry's defaults.
const MOST: usize = 2_048;
const BATCH: usize = 512;
const DELAY: Duration = Duration::from_secs(5);
/// How often a batch that was refused for a while is sent again, and after which pause at first.
const RETRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// The spans' way out.
pub(super) struct Traces {
    queue: Arc<Queue>,
    /// Who waits until all is sent.
    asked: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Traces {
    /// Begins to send, in the runtime that this is called in.
    pub(super) fn begin(endpoint: &str, resource: &Resource, scope: &str) -> Result<Traces, Error> {
        let channel = Endpoint::from_shared(endpoint.to_owned())?.connect_lazy();
        let most = from_env("OTEL_BSP_MAX_QUEUE_SIZE", MOST).max(1);
        let batch = from_env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH).clamp(1, most);
        let delay = from_env("OTEL_BSP_SCHEDULE_DELAY", DELAY.as_millis() as u64);
        let queue = Arc::new(Queue::new(Limits { most, batch }));
        let sender =
            Sender { client: Grpc::new(channel), whose: Arc::new(Whose::new(resource, scope)) };
        let (asked, asks) = mpsc::unbounded_channel();
        tokio::spawn(run(Arc::clone(&queue), sender, Duration::from_millis(delay), asks));
        Ok(Traces { queue, asked })
    }

    /// Queues a span that has ended, which this is the message of. It does not wait.
    pub(super) fn send(&self, span: &[u8]) {
        if !self.queue.put(span) {
            SPANS_NOT_SENT.add(1, &[]);
        }
    }

    /// Waits until what is there now was sent, or was given up.
    pub(super) async fn flush(&self) {
        let (done, sent) = oneshot::channel();
        let _ = self.asked.send(done);
        let _ = sent.await;
    }
}

/// What is set in the environment, as OpenTelemetry's specification names it.
fn from_env<T: FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Sends full batches at once, and what else is there when it has waited for `delay` or is asked for.
async fn run(
    queue: Arc<Queue>,
    mut sender: Sender,
    delay: Duration,
    mut asks: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
) {
    let mut due = Instant::now() + delay;
    loop {
        let (all, waits) = tokio::select! {
            () = queue.full() => (false, None),
            () = sleep_until(due) => (true, None),
            Some(waits) = asks.recv() => (true, Some(waits)),
        };
        while let Some(batch) = queue.take_full() {
            sender.send(batch).await;
        }
        if all {
            due = Instant::now() + delay;
            if let Some(batch) = queue.take_rest() {
                sender.send(batch).await;
            }
        }
        if let Some(waits) = waits {
            let _ = waits.send(());
        }
    }
}

struct Sender {
    client: Grpc<Channel>,
    whose: Arc<Whose>,
}

impl Sender {
    async fn send(&mut self, batch: Batch) {
        let spans = batch.spans;
        let request = self.whose.request(batch);
        let error = match timeout(LIMIT, self.insist(request)).await {
            Ok(Ok(())) => return,
            Ok(Err(refused)) => refused.to_string(),
            Err(late) => late.to_string(),
        };
        SPANS_NOT_SENT.add(spans as u64, &[]);
        tracing::debug!(error, spans, "spans were not sent");
    }

    async fn insist(&mut self, request: Message) -> Result<(), Status> {
        let mut left = RETRIES;
        loop {
            match self.once(request.clone()).await {
                Err(status) if left > 0 && is_passing(status.code()) => {
                    sleep(PAUSE * 2_u32.pow(RETRIES - left)).await;
                    left -= 1;
                }
                ended => return ended,
            }
        }
    }

    async fn once(&mut self, request: Message) -> Result<(), Status> {
        self.client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let path = PathAndQuery::from_static(PATH);
        let answer = self.client.unary(Request::new(request), path, Raw).await?;
        if answer.into_inner() > 0 {
            tracing::debug!("a collector did not take all spans");
        }
        Ok(())
    }
}

/// What OTLP calls worth another try.
fn is_passing(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, OutOfRange, Unavailable};
    matches!(code, Unavailable | Cancelled | DeadlineExceeded | Aborted | OutOfRange | DataLoss)
}

/// What is said once of all spans of a request: the fields of its messages that come before them.
struct Whose {
    resource: Vec<u8>,
    schema: Vec<u8>,
    scope: Vec<u8>,
}

impl Whose {
    const RESOURCE_SPANS: u32 = 1;
    const RESOURCE: u32 = 1;
    const SCOPE_SPANS: u32 = 2;
    const SCHEMA: u32 = 3;
    const SCOPE: u32 = 1;
    const ATTRIBUTES: u32 = 1;
    const NAME: u32 = 1;

    fn new(resource: &Resource, scope: &str) -> Self {
        let (mut attributes, mut name) = (Vec::new(), Vec::new());
        for (key, value) in resource {
            let value = value.as_str();
            wire::attribute(&mut attributes, Self::ATTRIBUTES, key.as_str(), Value::Text(&value));
        }
        wire::bytes(&mut name, Self::NAME, scope.as_bytes());
        let mut this = Self { resource: Vec::new(), schema: Vec::new(), scope: Vec::new() };
        wire::bytes(&mut this.resource, Self::RESOURCE, &attributes);
        if let Some(schema) = resource.schema_url() {
            wire::bytes(&mut this.schema, Self::SCHEMA, schema.as_bytes());
        }
        wire::bytes(&mut this.scope, Self::SCOPE, &name);
        this
    }

    /// The message `ExportTraceServiceRequest` with one batch.
    fn request(&self, batch: Batch) -> Message {
        let Self { resource, schema, scope } = self;
        let in_scope = scope.len() + batch.bytes.len();
        let in_resource =
            resource.len() + schema.len() + wire::bytes_len(Self::SCOPE_SPANS, in_scope);
        let mut head = Vec::with_capacity(resource.len() + schema.len() + scope.len() + 16);
        wire::header(&mut head, Self::RESOURCE_SPANS, in_resource);
        head.extend_from_slice(resource);
        head.extend_from_slice(schema);
        wire::header(&mut head, Self::SCOPE_SPANS, in_scope);
        head.extend_from_slice(scope);
        Message { head: head.into(), spans: batch.bytes.into() }
    }
}

/// A request as it is sent: what is said of all spans, and the spans. Cheap to clone.
#[derive(Clone)]
struct Message {
    head: Bytes,
    spans: Bytes,
}

/// Sends what was written before, and does not read more of an answer than how long it is.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Message;
    type Decode = usize;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Message;
    type Error = Status;

    fn encode(&mut self, message: Message, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(message.head.len() + message.spans.len());
        to.put(message.head);
        to.put(message.spans);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = usize;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<usize>, Status> {
        let len = from.remaining();
        from.advance(len);
        Ok(Some(len))
    }
}
