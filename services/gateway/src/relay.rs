//! gRPC, passed through: bytes in, bytes out, nothing decoded but errors.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, request::Parts};
use http_body::{Frame, SizeHint};
use mesh_rpc::ClientBody;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, body::Body};
use tower::Service as _;

use crate::{
    door::Front, edge, metadata, refused, refused::Refused, routes::Rpc, story::Story, timing::Took,
};

/// Calls `rpc` with these bytes, and answers with those that come back.
pub(crate) async fn call(
    front: &Front,
    rpc: &Rpc,
    head: &Parts,
    (content_type, body): (HeaderValue, Body),
    story: &Story,
) -> Response<Body> {
    let mut request = Request::new(body);
    *request.headers_mut() = metadata::onwards(head, content_type, edge::forwarded(head));
    story.tell(request.headers_mut());
    match Uri::try_from(&*rpc.path) {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return error(&Refused::RpcUnknown.status(), story),
    }
    let begun = Instant::now();
    match rpc.channel.clone().call(request).await {
        Ok(response) => {
            let stop = rpc.descriptor.is_server_streaming();
            let stop = stop.then(|| Box::pin(front.closing.clone().cancelled_owned()));
            let (mut head, body) = response.into_parts();
            refused::tell(&mut head.headers, story);
            head.extensions.insert(Took(begun.elapsed()));
            let body = Relayed { inner: Some(body), stop, story: story.clone() };
            Response::from_parts(head, Body::new(body))
        }
        Err(status) => error(&status, story),
    }
}

/// An answer that is an error and nothing else.
pub(crate) fn error(status: &Status, story: &Story) -> Response<Body> {
    let mut response = status.clone().into_http::<Body>();
    refused::tell(response.headers_mut(), story);
    response
}

/// A service's answer as it comes. An error has the request's id added; a stream that has no end is
/// ended when the gateway ends, and so is what breaks off: both with a status.
struct Relayed {
    inner: Option<ClientBody>,
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    story: Story,
}

impl Relayed {
    /// The end of the body, after which the service's part of it is dropped.
    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        self.inner = None;
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            // Details that no header can hold: the code is what matters.
            let code = HeaderValue::from(status.code() as i32);
            trailers.insert("grpc-status", code);
        }
        refused::tell(&mut trailers, &self.story);
        Frame::trailers(trailers)
    }
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(cx);
        if polled.is_pending() {
            if let Some(stop) = &mut self.stop {
                ready!(stop.as_mut().poll(cx));
                return Poll::Ready(Some(Ok(self.end(&Refused::Stopping.status()))));
            }
            return Poll::Pending;
        }
        let Poll::Ready(next) = polled else { return Poll::Pending };
        Poll::Ready(match next {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    refused::tell(trailers, &self.story);
                }
                Some(Ok(frame))
            }
            Some(Err(status)) => Some(Ok(self.end(&status))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(ClientBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
