//! The ways to ask for a product, and streams.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use shop::catalog::v1::catalog_service_client::CatalogServiceClient;
use shop::catalog::v1::{GetProductRequest, ListProductsRequest};
use shop::orders::v1::orders_service_client::OrdersServiceClient;
use shop::orders::v1::{WatchOrderRequest, WatchOrderResponse};
use tokio::net::TcpStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// Fewer than a gateway lets one connection have.
const PER_CONNECTION: usize = 200;

/// A caller.
pub(super) enum Client {
    /// By one connection that all of them share.
    Grpc { client: CatalogServiceClient<Channel>, sku: String },
    /// By a connection of its own, which stays open.
    Json { at: SocketAddr, sku: String, connection: Option<SendRequest<Empty<Bytes>>> },
}

/// Callers that ask for a product by gRPC there, at the service itself or at the gateway.
pub(super) fn grpc(at: SocketAddr, sku: &str, count: usize) -> Result<Vec<Client>> {
    let channel = channel(at)?;
    let client =
        || Client::Grpc { client: CatalogServiceClient::new(channel.clone()), sku: sku.to_owned() };
    Ok(std::iter::repeat_with(client).take(count).collect())
}

/// Callers that ask for it by JSON there.
pub(super) fn json(at: SocketAddr, sku: &str, count: usize) -> Vec<Client> {
    let client = || Client::Json { at, sku: sku.to_owned(), connection: None };
    std::iter::repeat_with(client).take(count).collect()
}

/// A product that is sold there.
pub(super) async fn product(at: SocketAddr) -> Result<String> {
    let mut client = CatalogServiceClient::new(channel(at)?);
    let page = client.list_products(ListProductsRequest::default()).await?.into_inner();
    let first = page.products.into_iter().next();
    Ok(first.context("nothing is sold: `up` seeds a shop")?.sku)
}

fn channel(at: SocketAddr) -> Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{at}"))?.tcp_nodelay(true).connect_lazy())
}

impl Client {
    /// Asks for the product, and reads the answer.
    pub async fn call(&mut self) -> Result<()> {
        match self {
            Self::Grpc { client, sku } => {
                let answer = client.get_product(GetProductRequest { sku: sku.clone() }).await?;
                let product = answer.into_inner().product.context("no product")?;
                ensure!(product.sku == *sku, "it is another product");
            }
            Self::Json { at, sku, connection } => {
                let sender = match connection.as_mut() {
                    Some(sender) => sender,
                    None => connection.insert(connect(*at).await?),
                };
                let request = Request::get(format!("/v1/products/{sku}"))
                    .header(header::HOST, at.to_string())
                    .body(Empty::new())?;
                sender.ready().await?;
                let answer = sender.send_request(request).await?;
                ensure!(answer.status() == 200, "the answer is {}", answer.status());
                let body = answer.into_body().collect().await?.to_bytes();
                let is_it = body.windows(sku.len()).any(|part| part == sku.as_bytes());
                ensure!(is_it, "it is another product");
            }
        }
        Ok(())
    }
}

async fn connect(at: SocketAddr) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Opens so many streams, each of which has told its first news. They end with the value.
pub(super) async fn open(
    at: SocketAddr,
    count: usize,
) -> Result<Vec<Streaming<WatchOrderResponse>>> {
    let mut streams = Vec::with_capacity(count);
    let mut client = OrdersServiceClient::new(channel(at)?);
    for number in 0..count {
        if number % PER_CONNECTION == 0 {
            client = OrdersServiceClient::new(channel(at)?);
        }
        let mut stream = client.watch_order(WatchOrderRequest::default()).await?.into_inner();
        ensure!(stream.message().await?.is_some(), "stream {number} told nothing");
        streams.push(stream);
    }
    Ok(streams)
}
