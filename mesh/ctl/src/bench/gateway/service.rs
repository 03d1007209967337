//! What stands behind the gateway: an answer at once, and streams that tell one thing and stay open.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::post;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream::{self, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message;
use shop::catalog::v1::{GetProductResponse, Product};
use shop::orders::v1::WatchOrderResponse;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// The product that is asked for.
pub(super) const SKU: &str = "MUG-BLUE-350";
const DESCRIPTION: &str = "A mug of stoneware, glazed blue inside and out, for 350 ml of tea or coffee; \
                           it may go into the dishwasher and the microwave oven.";
const MAX_STREAMS: u32 = 4096;

/// Begins to serve; it ends with its runtime.
pub(super) async fn serve() -> Result<SocketAddr> {
    let product = Product {
        sku: SKU.to_owned(),
        name: "Blue mug".to_owned(),
        description: DESCRIPTION.to_owned(),
        ..Product::default()
    };
    let found = framed(&GetProductResponse { product: Some(product) })?;
    let told = framed(&WatchOrderResponse::default())?;
    let router = Router::new()
        .route(
            "/shop.catalog.v1.CatalogService/GetProduct",
            post(move |asked: Body| answered(asked, found.clone())),
        )
        .route(
            "/shop.orders.v1.OrdersService/WatchOrder",
            post(move || std::future::ready(open(told.clone()))),
        );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .add_routes(Routes::from(router))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    tokio::spawn(server);
    Ok(address)
}

/// A message as gRPC frames it.
fn framed(message: &impl Message) -> Result<Bytes> {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len())?);
    message.encode(&mut frame)?;
    Ok(frame.freeze())
}

type Told = Result<Frame<Bytes>, Infallible>;

async fn answered(asked: Body, message: Bytes) -> Response {
    // Read to its end, as a service does.
    let _ = axum::body::to_bytes(asked, usize::MAX).await;
    let name = HeaderName::from_static("grpc-status");
    let status = HeaderMap::from_iter([(name, HeaderValue::from_static("0"))]);
    let frames: [Told; 2] = [Ok(Frame::data(message)), Ok(Frame::trailers(status))];
    response(Body::new(StreamBody::new(stream::iter(frames))))
}

fn open(message: Bytes) -> Response {
    let first: Told = Ok(Frame::data(message));
    response(Body::new(StreamBody::new(stream::iter([first]).chain(stream::pending()))))
}

fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}
