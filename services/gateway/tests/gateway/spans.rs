//! What the gateway's span of a request says, and which trace it goes on with.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, header};
use mesh_rpc::ErrorDetails;
use mesh_testkit::{eventually, hear};
use shop::catalog::v1::{GetProductRequest, catalog_service_client::CatalogServiceClient};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::{
    support::{Gateway, uuid},
    witness::Witness,
};

const GET: &str = "/shop.catalog.v1.CatalogService/GetProduct";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Notes what requests' spans say.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

#[derive(Clone, Default)]
struct Span {
    name: &'static str,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Span {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut span = Span { name: attributes.metadata().name(), ..Span::default() };
        attributes.record(&mut span);
        let mut spans = self.0.lock().unwrap();
        spans.push(span);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let at = usize::try_from(id.into_u64()).unwrap() - 1;
        values.record(&mut self.0.lock().unwrap()[at]);
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, _event: &Event<'_>) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

impl Spans {
    /// The HTTP status, the code, and whether it failed, of the request that came last, once it ended.
    async fn last(&self) -> (String, Option<String>, bool) {
        let field = |span: &Span, name: &str| span.fields.get(name).cloned();
        let ended = eventually("the request's span to end", async || {
            let spans = self.0.lock().unwrap();
            let last = spans.iter().rfind(|span| span.name == "http.server")?;
            let status = field(last, "http.response.status_code")?;
            Some((status, last.clone()))
        });
        let (status, span) = ended.await;
        let failed = field(&span, "otel.status_code").is_some_and(|status| status == "ERROR");
        (status, field(&span, "rpc.response.status_code"), failed)
    }
}

async fn web(gateway: &Gateway, kind: &str, body: Bytes) {
    let request = Request::post(GET).header(header::CONTENT_TYPE, kind);
    gateway.send(request.body(body).unwrap()).await.bytes().await;
}

#[tokio::test]
async fn a_call_that_fails_by_a_servers_fault_is_an_error_whatever_it_speaks() {
    let spans = Spans::default();
    let _hears = hear(spans.clone());
    let witness = Witness::begin().await;
    let gateway = Gateway::before(&[("catalog", witness.at), ("orders", witness.at)]).await;
    let frame = Bytes::from_static(&[0; 5]);

    for (code, name, failed) in [
        (Code::Ok, "OK", false),
        (Code::NotFound, "NOT_FOUND", false),
        (Code::Unknown, "UNKNOWN", true),
        (Code::Unimplemented, "UNIMPLEMENTED", true),
    ] {
        let expected = ("200".to_owned(), Some(name.to_owned()), failed);
        let status = Status::with_error_details(code, "so it is", ErrorDetails::new());
        witness.tells(vec![Vec::new()], status);
        let mut catalog = CatalogServiceClient::new(gateway.channel());
        let told = catalog.get_product(GetProductRequest::default()).await;
        assert_eq!(told.map_or_else(|status| status.code(), |_| Code::Ok), code);
        assert_eq!(spans.last().await, expected, "gRPC");
        web(&gateway, "application/grpc-web", frame.clone()).await;
        assert_eq!(spans.last().await, expected, "gRPC-Web");
        web(&gateway, "application/grpc-web-text", STANDARD.encode(&frame).into()).await;
        assert_eq!(spans.last().await, expected, "gRPC-Web as text");
        let watch = gateway.get(&format!("/v1/orders/{}:watch", uuid())).await;
        assert_eq!(watch.status, 200);
        watch.bytes().await;
        assert_eq!(spans.last().await, expected, "a stream of JSON");
    }
    gateway.get("/v1/nothing").await.bytes().await;
    assert_eq!(spans.last().await, ("404".to_owned(), None, false));
}

#[tokio::test]
async fn an_error_without_an_answer_is_one_too() {
    let spans = Spans::default();
    let _hears = hear(spans.clone());
    let gateway = Gateway::before(&[]).await;

    let unknown = "/shop.catalog.v1.CatalogService/Nothing";
    for kind in ["application/grpc", "application/grpc-web"] {
        let request = Request::post(unknown).header(header::CONTENT_TYPE, kind);
        gateway.send(request.body(Bytes::new()).unwrap()).await.bytes().await;
        let expected = ("200".to_owned(), Some("UNIMPLEMENTED".to_owned()), true);
        assert_eq!(spans.last().await, expected, "{kind}");
    }
}

/// Whether the call that a request with this `traceparent` becomes is sampled; it is of the same trace.
async fn sampled(gateway: &Gateway, witness: &Witness, flags: &str) -> bool {
    let told = format!("00-{TRACE}-b7ad6b7169203331-{flags}");
    let request = Request::get("/v1/products/MUG").header("traceparent", told);
    gateway.send(request.body(Bytes::new()).unwrap()).await;
    let sent = witness.last().headers["traceparent"].to_str().unwrap().to_owned();
    assert_eq!(sent.split('-').nth(1), Some(TRACE));
    sent.ends_with("-01")
}

/// Of new traces this process samples none: it sends none.
#[tokio::test]
async fn a_strangers_trace_goes_on_and_only_a_trusted_hop_says_whether_it_is_sampled() {
    let witness = Witness::begin().await;
    let strangers = Gateway::before(&[("catalog", witness.at)]).await;
    assert!(!sampled(&strangers, &witness, "01").await);
    assert!(!sampled(&strangers, &witness, "00").await);

    let hops = vec!["127.0.0.0/8".parse().unwrap()];
    let behind =
        Gateway::with(&[("catalog", witness.at)], |config| config.trusted_hops = hops).await;
    assert!(sampled(&behind, &witness, "01").await);
    assert!(!sampled(&behind, &witness, "00").await);
}
