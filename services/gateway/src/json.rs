//! HTTP/JSON, by the paths of the contracts.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use http_body::{Body as _, Frame};
use http_body_util::StreamBody;
use hyper::body::Incoming;
use mesh_rpc::{
    Channel, Code,
    criticality::{self, Criticality},
};
use mesh_transcode::{Binding, Framing, Refusal, Route, http_code};
use prost_reflect::DynamicMessage;
use tonic::{Request, Status, Streaming, body::Body, client::Grpc, metadata::MetadataMap};

use crate::{
    access::Ending,
    bodies::Held,
    challenge,
    codec::Dynamic,
    door::Front,
    edge, headers, metadata,
    refused::{self, Refused},
    routes::Rpc,
    story::Story,
    timing::Took,
    whole,
};

/// Why there is no answer.
pub(crate) enum Failure {
    Refusal(Refusal),
    Refused(Refused),
    /// What a service says.
    Status(Status),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl Failure {
    pub(crate) fn response(self, story: &Story) -> Response<Body> {
        match self {
            Self::Refusal(refusal) => {
                let mut response = refused::json(&refusal.status(), refusal.http_status(), story);
                let allow = refusal.allow().and_then(|allow| HeaderValue::try_from(allow).ok());
                if let Some(allow) = allow {
                    response.headers_mut().insert(header::ALLOW, allow);
                }
                response
            }
            Self::Refused(refused) => {
                refused::json(&refused.status(), refused.http_status(), story)
            }
            Self::Status(status) => {
                let mut response = refused::json(&status, http_code(status.code()), story);
                challenge::note(&status, &mut response);
                response
            }
        }
    }
}

/// Answers what `route` leads to.
pub(crate) async fn answer(
    front: &Arc<Front>,
    route: &Route<'_>,
    head: &Parts,
    body: Incoming,
    story: &Story,
) -> Result<Response<Body>, Failure> {
    let json = read(front, route, head, body).await?;
    call(front, route, (head, &json.bytes), story, None).await
}

/// Asks again what was asked without a body, so that a service that is pressed leaves it first.
pub(crate) async fn repeat(
    front: &Arc<Front>,
    route: &Route<'_>,
    head: &Parts,
    story: &Story,
) -> Result<Response<Body>, Failure> {
    call(front, route, (head, &[]), story, Some(Criticality::Sheddable)).await
}

async fn call(
    front: &Arc<Front>,
    route: &Route<'_>,
    (head, json): (&Parts, &[u8]),
    story: &Story,
    matters: Option<Criticality>,
) -> Result<Response<Body>, Failure> {
    let binding = route.binding();
    let mut message = route.request(head.uri.query(), json)?;
    headers::fill(&mut message, &head.method, &head.headers)?;
    let rpc = front.routes.of(binding.rpc()).ok_or(Refused::RpcUnknown)?;

    let mut request = Request::new(message);
    let grpc = HeaderValue::from_static("application/grpc");
    let mut sent = metadata::onwards(head, grpc, edge::forwarded(head));
    // These are the client's own business with gRPC, and it does not speak it.
    for name in ["grpc-encoding", "grpc-accept-encoding", "content-type", "te"] {
        sent.remove(name);
    }
    story.tell(&mut sent);
    if let Some(matters) = matters {
        sent.insert(criticality::HEADER, HeaderValue::from_static(matters.as_str()));
    }
    *request.metadata_mut() = MetadataMap::from_headers(sent);
    let client = Grpc::new(rpc.channel.clone());
    if binding.rpc().is_server_streaming() {
        return stream(front, client, rpc, request, (binding, &head.headers), story).await;
    }
    unary(client, rpc, request, binding).await
}

/// Reads the body; it is nothing if there is none.
async fn read(
    front: &Front,
    route: &Route<'_>,
    head: &Parts,
    body: Incoming,
) -> Result<Held, Failure> {
    if body.is_end_stream() {
        return Ok(Held::default());
    }
    if route.binding().takes_body() {
        route.check_type(&head.headers)?;
    }
    Ok(front.bodies.read(&front.config, edge::caller(head), body).await?)
}

async fn unary(
    mut client: Grpc<Channel>,
    rpc: &Rpc,
    request: Request<DynamicMessage>,
    binding: &Binding,
) -> Result<Response<Body>, Failure> {
    let codec = Dynamic(binding.rpc().output());
    client.ready().await?;
    let begun = Instant::now();
    let message = client.unary(request, path(rpc)?, codec).await?.into_inner();
    let took = Took(begun.elapsed());
    let json = binding.answer(&message).map_err(|_| Refused::MessageUnreadable)?;
    let mut response = whole::json(StatusCode::OK, json);
    response.extensions_mut().insert(took);
    if let Some(etag) = headers::etag(&message) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

fn path(rpc: &Rpc) -> Result<http::uri::PathAndQuery, Refused> {
    rpc.path.parse().map_err(|_| Refused::RpcUnknown)
}

async fn stream(
    front: &Arc<Front>,
    mut client: Grpc<Channel>,
    rpc: &Rpc,
    request: Request<DynamicMessage>,
    (binding, headers): (&Binding, &HeaderMap),
    story: &Story,
) -> Result<Response<Body>, Failure> {
    let codec = Dynamic(binding.rpc().output());
    client.ready().await?;
    let messages = client.server_streaming(request, path(rpc)?, codec).await?.into_inner();
    let (framing, ending) = (Framing::accepted(headers), Ending::default());
    let told = Told {
        messages: Some(messages),
        binding: binding.clone(),
        framing,
        story: story.clone(),
        front: Arc::clone(front),
        ending: ending.clone(),
    };
    let frames = stream::unfold(told, Told::next);
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    response.extensions_mut().insert(ending);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(framing.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A stream that is told message by message, and how it ends.
struct Told {
    /// None when the end was told.
    messages: Option<Streaming<DynamicMessage>>,
    binding: Binding,
    framing: Framing,
    story: Story,
    front: Arc<Front>,
    /// What its end is told to besides: the answer has begun with 200.
    ending: Ending,
}

impl Told {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Status>, Self)> {
        let messages = self.messages.as_mut()?;
        let next = tokio::select! {
            next = messages.next() => next,
            () = self.front.closing.cancelled() => Some(Err(Refused::Stopping.status())),
        };
        let said = next.map(|message| match message {
            Ok(message) => {
                self.binding.answer(&message).map_err(|_| Refused::MessageUnreadable.status())
            }
            Err(status) => Err(status),
        });
        let bytes = match said {
            Some(Ok(json)) => self.framing.message(json),
            Some(Err(status)) => {
                self.messages = None;
                self.ending.note(status.code());
                self.framing.error(&refused::with_request_info(&status, &self.story))
            }
            None => {
                self.messages = None;
                self.ending.note(Code::Ok);
                self.framing.end().to_vec()
            }
        };
        Some((Ok(Frame::data(bytes.into())), self))
    }
}
