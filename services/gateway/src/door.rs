//! One request, from the connection to its answer: what it speaks, who answers it, and what every
//! answer has.

use std::{convert::Infallible, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderValue, Method, Request, Response, header, request::Parts};
use hyper::body::Incoming;
use mesh_runtime::{Service, correlation, trace};
use mesh_transcode::{Route, Transcoder};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tracing::{Instrument as _, Span, field::Empty};

use crate::{
    Config,
    access::Access,
    json::{self, Failure},
    metadata,
    pages::Pages,
    reflection::Reflection,
    refused::{self, Refused},
    relay,
    routes::Routes,
    story::Story,
    web::Form,
};

/// What every request needs to know.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) service: Service,
    pub(crate) config: Config,
    pub(crate) routes: Routes,
    pub(crate) transcoder: Transcoder,
    pub(crate) reflection: Reflection,
    pub(crate) pages: Pages,
    /// Cancelled when connections are told good-bye: streams that have no end do so then.
    pub(crate) closing: CancellationToken,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Grpc,
    Web(Form),
    Http,
}

impl Speech {
    fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default();
        match Form::of(kind) {
            Some(form) => Self::Web(form),
            None if is_grpc(kind) => Self::Grpc,
            None => Self::Http,
        }
    }
}

/// `application/grpc` and `application/grpc+proto`, say, but not `application/grpc-web+json`.
fn is_grpc(kind: &str) -> bool {
    let rest = kind.strip_prefix("application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// Answers one request.
pub(crate) async fn answer(
    front: Arc<Front>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let begun = Instant::now();
    let story = Story::of(request.headers());
    let (head, body) = request.into_parts();
    let speech = Speech::of(&head.headers);
    let path = head.uri.path().to_owned();
    let routed = (speech == Speech::Http).then(|| front.transcoder.route(&head.method, &path));
    let route: Arc<str> = match &routed {
        Some(Ok(route)) => route.binding().template().to_string().into(),
        Some(Err(_)) => front.pages.template(&path).into(),
        None => front.routes.find(&path).map_or_else(|| "-".into(), |rpc| Arc::clone(&rpc.path)),
    };
    let span = trace::begin(trace::extract(&head.headers), || span(&head.method, &route));
    correlation::note(&span, story.correlation_id());
    let access = Access { method: head.method.clone(), route, begun, span: span.clone() };

    let work = async {
        match (speech, routed) {
            (Speech::Http, Some(routed)) => http(&front, routed, &head, body, &story).await,
            (Speech::Web(form), _) => {
                let body = form.request(body);
                form.answer(grpc(&front, &head, body, &story).await)
            }
            _ => grpc(&front, &head, Body::new(body), &story).await,
        }
    };
    let mut response = work.instrument(span).await;
    metadata::strip(response.headers_mut());
    story.answer(response.headers_mut());
    Ok(access.follow(response))
}

/// The span of a request, below which those of its calls are.
fn span(method: &Method, route: &str) -> Span {
    tracing::error_span!(
        parent: None,
        "http.server",
        otel.name = route,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method.as_str(),
        http.route = route,
        http.response.status_code = Empty,
        service = "gateway",
        correlation_id = Empty,
    )
}

async fn http(
    front: &Arc<Front>,
    routed: Result<Route<'_>, mesh_transcode::Refusal>,
    head: &Parts,
    body: Incoming,
    story: &Story,
) -> Response<Body> {
    if let Err(refused) = limit(front, &head.headers) {
        return Failure::from(refused).response(story);
    }
    let answer = match routed {
        Ok(route) => json::answer(front, &route, head, body, story).await,
        Err(refusal) => match front.pages.answer(front, head).await {
            Some(page) => Ok(page),
            None => Err(refusal.into()),
        },
    };
    answer.unwrap_or_else(|failure| failure.response(story))
}

async fn grpc(front: &Front, head: &Parts, body: Body, story: &Story) -> Response<Body> {
    let refuse = |refused: Refused| relay::error(&refused.status(), story);
    if let Err(refused) = limit(front, &head.headers) {
        return refuse(refused);
    }
    let path = head.uri.path();
    if let Some(rpc) = front.routes.find(path).filter(|_| head.method == Method::POST) {
        // The message's encoding is for the service to judge, and the framing is gRPC's in any case.
        let kind = HeaderValue::from_static("application/grpc");
        return relay::call(front, rpc, &head.headers, (kind, body), story).await;
    }
    match front.reflection.answer(head, body).await {
        Ok(mut response) => {
            refused::tell(response.headers_mut(), story);
            response
        }
        Err(_) => refuse(Refused::RpcUnknown),
    }
}

fn limit(front: &Front, headers: &HeaderMap) -> Result<(), Refused> {
    let max = front.config.max_header_bytes;
    let size = metadata::size(headers);
    if size > max as usize { Err(Refused::HeadersTooLarge(max)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_speaks_is_in_its_content_type() {
        for (kind, speech) in [
            ("application/grpc", Speech::Grpc),
            ("application/grpc+proto", Speech::Grpc),
            ("application/grpc-web", Speech::Web(Form::Binary)),
            ("application/grpc-web-text+proto", Speech::Web(Form::Text)),
            ("application/grpc-web+json", Speech::Http),
            ("application/json", Speech::Http),
        ] {
            let kind = HeaderValue::from_static(kind);
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
            assert_eq!(Speech::of(&headers), speech);
        }
        assert_eq!(Speech::of(&HeaderMap::new()), Speech::Http);
    }
}
