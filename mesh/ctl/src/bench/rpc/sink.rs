//! A collector that takes everything and does nothing with it. It does not even read what it is sent:
//! what is measured is the sender.

use std::future::ready;
use std::net::Ipv4Addr;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tokio::net::TcpListener;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// A message without fields: it is not compressed, and has no bytes.
const EMPTY: Bytes = Bytes::from_static(&[0; 5]);

/// Takes signals at the address that is returned, until the runtime ends.
pub(super) async fn start() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, Router::new().fallback(take)).into_future());
    Ok(endpoint)
}

async fn take(request: Request) -> Response<Body> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let answer = Full::new(EMPTY).with_trailers(ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(answer));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}
