//! Bodies that come and go piece by piece, and callers that go away.

use bytes::Bytes;
use futures::{StreamExt as _, channel::mpsc};
use http::{Request, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_testkit::{browse, eventually};
use shop::catalog::v1::{GetProductRequest, catalog_service_client::CatalogServiceClient};
use tokio::net::TcpStream;
use tonic::Status;

use crate::{
    support::{Gateway, uuid},
    witness::Witness,
};

/// It may last.
const WATCH: &str = "/shop.orders.v1.OrdersService/WatchOrder";

/// A call whose messages go both ways.
pub struct Talk {
    sender: mpsc::UnboundedSender<Bytes>,
    answer: Incoming,
}

impl Talk {
    /// Begins with a piece.
    pub async fn begin(gateway: &Gateway, text: &str) -> Self {
        let stream = TcpStream::connect(gateway.at).await.unwrap();
        let (mut client, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (sender, pieces) = mpsc::unbounded::<Bytes>();
        let body = StreamBody::new(pieces.map(|piece| Ok::<_, hyper::Error>(Frame::data(piece))));
        let request = Request::post(format!("http://gateway.test{WATCH}"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers");
        sender.unbounded_send(piece(text)).unwrap();
        let answer = client.send_request(request.body(body).unwrap()).await.unwrap().into_body();
        Self { sender, answer }
    }

    pub fn say(&self, text: &str) {
        self.sender.unbounded_send(piece(text)).unwrap();
    }

    /// Asserts that this comes back next.
    pub async fn hears(&mut self, text: &str) {
        assert_eq!(self.answer.frame().await.unwrap().unwrap().into_data().unwrap(), piece(text));
    }

    /// Asserts that it ends well.
    pub async fn ends(mut self) {
        drop(self.sender);
        let trailers = self.answer.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
    }
}

fn piece(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    Bytes::from([&[0], &length[..], text.as_bytes()].concat())
}

#[tokio::test]
async fn pieces_go_both_ways_while_neither_side_has_ended() {
    let witness = Witness::echo().await;
    let gateway = Gateway::before(&[("orders", witness.at)]).await;

    let mut talk = Talk::begin(&gateway, "one").await;
    talk.hears("one").await;
    talk.say("two");
    talk.hears("two").await;

    talk.ends().await;
}

#[tokio::test]
async fn a_stream_that_ends_well_ends_with_an_event_that_says_so() {
    let witness = Witness::begin().await;
    let gateway = Gateway::before(&[("orders", witness.at)]).await;
    witness.tells(vec![Vec::new(); 2], Status::ok(""));
    let watch = async |accept: &str| {
        let request = Request::get(format!("/v1/orders/{}:watch", uuid()));
        let request = request.header(header::ACCEPT, accept).body(Bytes::new()).unwrap();
        let answer = gateway.send(request).await;
        (answer.header("content-type").to_owned(), answer.text().await)
    };

    let told = "data: {}\n\ndata: {}\n\nevent: end\ndata: {}\n\n".to_owned();
    assert_eq!(watch("text/event-stream").await, ("text/event-stream".to_owned(), told));
    let lines = ("application/x-ndjson".to_owned(), "{}\n{}\n".to_owned());
    assert_eq!(watch("*/*").await, lines, "lines just end");
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
