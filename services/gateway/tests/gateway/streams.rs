//! Bodies that come and go piece by piece, and callers that go away.

use bytes::Bytes;
use futures::{StreamExt as _, channel::mpsc};
use http::{Request, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_testkit::{browse, eventually};
use shop::catalog::v1::{GetProductRequest, catalog_service_client::CatalogServiceClient};
use tokio::net::TcpStream;

use crate::{support::Gateway, witness::Witness};

const GET: &str = "/shop.catalog.v1.CatalogService/GetProduct";

#[tokio::test]
async fn pieces_go_both_ways_while_neither_side_has_ended() {
    let witness = Witness::echo().await;
    let gateway = Gateway::before(&[("catalog", witness.at)]).await;
    let stream = TcpStream::connect(gateway.at).await.unwrap();
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (sender, pieces) = mpsc::unbounded::<Bytes>();
    let body = StreamBody::new(pieces.map(|piece| Ok::<_, hyper::Error>(Frame::data(piece))));
    let request = Request::post(format!("http://gateway.test{GET}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers");

    let piece = |text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        Bytes::from([&[0], &length[..], text.as_bytes()].concat())
    };
    sender.unbounded_send(piece("one")).unwrap();
    let mut answer = client.send_request(request.body(body).unwrap()).await.unwrap();
    let body = answer.body_mut();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece("one"));
    sender.unbounded_send(piece("two")).unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece("two"));
    drop(sender);

    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_call_along() {
    let witness = Witness::silent().await;
    let gateway = Gateway::before(&[("catalog", witness.at)]).await;
    let at = gateway.at;
    let json = tokio::spawn(async move {
        browse(at, Request::get("/v1/products/MUG").body(Bytes::new()).unwrap()).await.map(|_| ())
    });
    eventually("the call to arrive", async || witness.count() == 1).await;
    json.abort();
    eventually("the call to be given up", async || witness.given_up() == 1).await;

    let mut catalog = CatalogServiceClient::new(gateway.channel());
    let grpc = tokio::spawn(async move { catalog.get_product(GetProductRequest::default()).await });
    eventually("the second call to arrive", async || witness.count() == 2).await;
    grpc.abort();
    eventually("the second call to be given up", async || witness.given_up() == 2).await;
}
