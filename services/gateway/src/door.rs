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
    access::{self, Access, Kind},
    bodies::Bodies,
    challenge,
    edge::{Edge, Way},
    json::{self, Failure},
    legacy::{self, Crossing, Legacy},
    metadata,
    own::Own,
    pages::{self, Pages},
    refused::{self, Refused},
    relay,
    routes::{Routes, Rpc},
    story::Story,
    timing,
    web::Form,
};

/// What every request needs to know.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) service: Service,
    pub(crate) config: Config,
    pub(crate) routes: Routes,
    pub(crate) transcoder: Transcoder,
    pub(crate) own: Own,
    pub(crate) bodies: Bodies,
    pub(crate) pages: Pages,
    pub(crate) edge: Edge,
    /// None if no old system answers anything.
    pub(crate) legacy: Option<Arc<Legacy>>,
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

    /// Says no, in the client's own words.
    fn refuse(self, refused: Refused, story: &Story) -> Response<Body> {
        match self {
            Self::Http => Failure::from(refused).response(story),
            Self::Grpc => relay::error(&refused.status(), story),
            Self::Web(form) => form.answer(relay::error(&refused.status(), story)),
        }
    }
}

/// `application/grpc` and `application/grpc+proto`, say, but not `application/grpc-web+json`.
fn is_grpc(kind: &str) -> bool {
    let rest = kind.strip_prefix("application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// What a request asks for.
struct Meant<'a> {
    /// Where its path leads, if it speaks HTTP.
    routed: Option<Result<Route<'a>, mesh_transcode::Refusal>>,
    rpc: Option<&'a Rpc>,
    /// If an old system has something to do with it.
    crossing: Option<Crossing>,
    /// What it is called in the log.
    name: Arc<str>,
    kind: Kind,
}

impl<'a> Meant<'a> {
    fn of(front: &'a Front, speech: Speech, head: &Parts, path: &'a str) -> Self {
        let page = front.pages.template(path);
        let routed = (speech == Speech::Http).then(|| front.transcoder.route(&head.method, path));
        let (rpc, name): (_, Arc<str>) = match &routed {
            Some(Ok(route)) => {
                let template = route.binding().template().to_string();
                (front.routes.of(route.binding().rpc()), template.into())
            }
            Some(Err(_)) => (None, page.into()),
            None => match front.routes.find(path) {
                Some(rpc) => (Some(rpc), Arc::clone(&rpc.path)),
                None => (None, access::known(path).into()),
            },
        };
        let kind = Kind::of(rpc.map(|rpc| &rpc.descriptor), page != pages::UNKNOWN);
        let may_cross = routed.is_some() && page == pages::UNKNOWN;
        let legacy = front.legacy.as_ref().filter(|_| may_cross);
        let binding = rpc.map(|rpc| (&*name, rpc));
        let crossing = legacy.and_then(|legacy| legacy.crossing(head, binding));
        let unnamed = crossing.as_ref().filter(|_| rpc.is_none());
        let name = unnamed.map_or(name, |crossing| Arc::clone(crossing.name()));
        Self { routed, rpc, crossing, name, kind }
    }
}

/// Answers one request.
pub(crate) async fn answer(
    front: Arc<Front>,
    way: Way,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let begun = Instant::now();
    let story = Story::of(request.headers());
    let (mut head, body) = request.into_parts();
    let asked = front.edge.enter(&mut head, way);
    let speech = Speech::of(&head.headers);
    let path = head.uri.path().to_owned();
    let Meant { routed, rpc, crossing, name, kind } = Meant::of(&front, speech, &head, &path);
    let span = trace::begin(front.edge.trace(&head.headers, way), || span(&head.method, &name));
    correlation::note(&span, story.correlation_id());
    span.record("request_id", story.request_id());

    let method = head.method.clone();
    let access = Access { method, route: name, kind, begun, span: span.clone() };
    let verdict = front.edge.count(&asked, &head, rpc.map(|rpc| &*rpc.path));
    let refused = verdict.early.map(Refused::RateLimited).or_else(|| limit(&front, &head).err());
    let work = async {
        match (refused, front.edge.preflight(&head)) {
            (Some(refused), _) | (None, Some(Err(refused))) => speech.refuse(refused, &story),
            (None, Some(Ok(response))) => response,
            (None, None) => match (speech, routed) {
                (Speech::Http, Some(routed)) => match &crossing {
                    Some(crossing) => {
                        legacy::answer(&front, crossing, routed, (&head, body), &story).await
                    }
                    None => contracts(&front, routed, &head, body, &story).await,
                },
                (Speech::Web(form), _) => {
                    let body = form.request(body);
                    form.answer(grpc(&front, rpc, &head, body, &story).await)
                }
                _ => grpc(&front, rpc, &head, Body::new(body), &story).await,
            },
        }
    };
    let mut response = work.instrument(span).await;
    metadata::strip(response.headers_mut());
    story.answer(response.headers_mut());
    if let Some(deprecated) = rpc.and_then(|rpc| rpc.deprecated.as_ref()) {
        deprecated.tell(response.headers_mut());
    }
    challenge::tell(&head.headers, &mut response);
    if speech != Speech::Grpc {
        timing::tell(&mut response, begun);
        verdict.tell(response.headers_mut());
    }
    front.edge.leave(&asked, speech == Speech::Grpc, &mut response);
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
        rpc.response.status_code = Empty,
        service = "gateway",
        request_id = Empty,
        correlation_id = Empty,
    )
}

/// Answers what the contracts have at a path, or a page of the gateway's own.
pub(crate) async fn contracts(
    front: &Arc<Front>,
    routed: Result<Route<'_>, mesh_transcode::Refusal>,
    head: &Parts,
    body: Incoming,
    story: &Story,
) -> Response<Body> {
    let answer = match routed {
        Ok(route) => json::answer(front, &route, head, body, story).await,
        Err(refusal) => match front.pages.answer(front, head).await {
            Some(page) => page.map_err(Failure::from),
            None => Err(refusal.into()),
        },
    };
    answer.unwrap_or_else(|failure| failure.response(story))
}

/// Calls `rpc`, which the path has, or answers what the gateway itself serves.
async fn grpc(
    front: &Front,
    rpc: Option<&Rpc>,
    head: &Parts,
    body: Body,
    story: &Story,
) -> Response<Body> {
    if let Some(rpc) = rpc.filter(|_| head.method == Method::POST) {
        // The message's encoding is for the service to judge, and the framing is gRPC's in any case.
        let kind = HeaderValue::from_static("application/grpc");
        return relay::call(front, rpc, head, (kind, body), story).await;
    }
    match front.own.answer(head, body).await {
        Ok(mut response) => {
            refused::tell(response.headers_mut(), story);
            response
        }
        Err(_) => relay::error(&Refused::RpcUnknown.status(), story),
    }
}

/// Refuses a request whose head is too large.
fn limit(front: &Front, head: &Parts) -> Result<(), Refused> {
    let Config { max_header_bytes, max_headers, max_path_bytes, .. } = front.config;
    let path = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    if path > max_path_bytes.into() {
        return Err(Refused::PathTooLong(max_path_bytes));
    }
    if head.headers.len() > max_headers.into() {
        return Err(Refused::HeadersTooMany(max_headers));
    }
    if metadata::size(&head.headers) > max_header_bytes as usize {
        return Err(Refused::HeadersTooLarge(max_header_bytes));
    }
    Ok(())
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
