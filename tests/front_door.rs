//! Customers before the gateway: the same order by everything that it speaks.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use crate::callers::{Callers, Channel};
use crate::shop::{GOOD_CARD, SERVICES, Shop, address, is_settled, uuid};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::future::join_all;
use http::{HeaderValue, Method, Request, header};
use mesh_testkit::{Answer, eventually};
use meshctl::users::Who;
use prost::Message;
use serde_json::{Value, json};
use shop::{
    orders::v1::{
        AddCartLineRequest, OrderState, PlaceOrderRequest, PlaceOrderResponse, WatchOrderRequest,
        WatchOrderResponse, carts_service_client::CartsServiceClient,
        orders_service_client::OrdersServiceClient,
    },
    processor::v1::{TokenizeCardRequest, cards_service_client::CardsServiceClient},
};

const GATEWAY: &str = "gateway";
const WEB: &str = "application/grpc-web+proto";

/// A shop with its front door.
async fn open() -> Shop {
    Shop::with_gateway(|options| options).await
}

/// Where a gateway is, and what whoever goes through it shows.
#[derive(Clone)]
struct Door {
    at: SocketAddr,
    token: HeaderValue,
}

fn door(shop: &Shop) -> Door {
    let token = Callers::of(&shop.platform).administrator();
    Door { at: shop.platform.grpc(GATEWAY), token }
}

fn channel(shop: &Shop) -> Channel {
    Channel::to(&shop.platform, GATEWAY, shop.platform.uri(GATEWAY))
}

async fn browse(door: &Door, mut request: Request<Bytes>) -> Answer {
    request.headers_mut().insert(header::AUTHORIZATION, door.token.clone());
    mesh_testkit::browse(door.at, request).await.unwrap()
}

async fn tell(at: &Door, method: Method, target: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(target);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    browse(at, request.body(body.to_string().into()).unwrap()).await
}

/// A request in JSON that orders a piece, and its customer.
async fn json_order(at: &Door, sku: &str) -> Value {
    let customer = uuid();
    let line = json!({ "requestId": uuid(), "sku": sku, "quantity": 1 });
    let lines = format!("/v1/carts/{customer}/lines");
    let cart = tell(at, Method::POST, &lines, &line).await.json().await;
    let card = json!({ "requestId": uuid(), "cardNumber": GOOD_CARD, "expiryMonth": 12,
                       "expiryYear": 2040 });
    let card = tell(at, Method::POST, "/v1/cards:tokenize", &card).await.json().await;
    json!({
        "requestId": uuid(),
        "customerId": customer,
        "cartEtag": cart["cart"]["etag"],
        "cardToken": card["cardToken"],
        "address": { "recipient": "Ada Lovelace", "lines": ["Analytical Street 1"],
                     "city": "Berlin", "postalCode": "10115", "countryCode": "DE" },
    })
}

async fn by_json(shop: &Shop, sku: &str) -> Vec<String> {
    let at = &door(shop);
    let order = json_order(at, sku).await;
    let placed = tell(at, Method::POST, "/v1/orders", &order).await;
    assert_eq!(placed.status, 200);
    let placed = placed.json().await;
    let watch = format!("/v1/orders/{}:watch", placed["order"]["orderId"].as_str().unwrap());
    let request = Request::get(&watch).body(Bytes::new()).unwrap();
    let mut lines = browse(at, request).await;
    let (mut states, mut text) = (Vec::new(), Vec::new());
    while !states.ends_with(&["ORDER_STATE_CONFIRMED".to_owned()]) {
        text.extend(lines.piece().await.expect("the watch goes on until it is confirmed"));
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Value = serde_json::from_slice(&text[..end]).unwrap();
            states.push(line["change"]["state"].as_str().unwrap().to_owned());
            text.drain(..=end);
        }
    }
    states
}

/// A request that orders a piece, made by gRPC.
async fn grpc_order(shop: &Shop, sku: &str) -> PlaceOrderRequest {
    let customer_id = uuid();
    let line = AddCartLineRequest {
        request_id: uuid(),
        customer_id: customer_id.clone(),
        sku: sku.to_owned(),
        quantity: 1,
        etag: String::new(),
    };
    let cart = CartsServiceClient::new(channel(shop)).add_cart_line(line).await;
    let card = TokenizeCardRequest {
        request_id: uuid(),
        card_number: GOOD_CARD.to_owned(),
        expiry_month: 12,
        expiry_year: 2040,
    };
    let card = CardsServiceClient::new(channel(shop)).tokenize_card(card).await;
    PlaceOrderRequest {
        request_id: uuid(),
        customer_id,
        cart_etag: cart.unwrap().into_inner().cart.unwrap().etag,
        address: Some(address("DE")),
        card_token: card.unwrap().into_inner().card_token,
    }
}

async fn by_grpc(shop: &Shop, sku: &str) -> Vec<String> {
    let request = grpc_order(shop, sku).await;
    let mut orders = OrdersServiceClient::new(channel(shop));
    let order = orders.place_order(request).await.unwrap().into_inner().order.unwrap();
    let request = WatchOrderRequest { order_id: order.order_id, after_version: 0 };
    let mut watch = orders.watch_order(request).await.unwrap().into_inner();
    let mut states = Vec::new();
    while !states.ends_with(&[OrderState::Confirmed]) {
        states.push(watch.message().await.unwrap().unwrap().change.unwrap().state());
    }
    states.iter().map(|state| state.as_str_name().to_owned()).collect()
}

/// Calls by gRPC-Web, and answers with the answer while it comes.
async fn web(at: &Door, method: &str, message: &impl Message) -> Answer {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut frame).unwrap();
    let request = Request::post(format!("/shop.orders.v1.OrdersService/{method}"));
    let request = request.header(header::CONTENT_TYPE, WEB).body(frame.freeze()).unwrap();
    let answer = browse(at, request).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, WEB));
    answer
}

/// The message of the next frame; what the last one says is the error.
async fn next<M: Message + Default>(answer: &mut Answer, seen: &mut BytesMut) -> Result<M, String> {
    loop {
        if let [flag, a, b, c, d, ..] = seen[..] {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if seen.len() >= 5 + length {
                seen.advance(5);
                let frame = seen.split_to(length);
                return match flag {
                    0 => Ok(M::decode(frame).unwrap()),
                    _ => Err(String::from_utf8_lossy(&frame).into_owned()),
                };
            }
        }
        seen.extend_from_slice(&answer.piece().await.ok_or("it broke off")?);
    }
}

async fn by_grpc_web(shop: &Shop, sku: &str) -> Vec<String> {
    let request = grpc_order(shop, sku).await;
    let (mut answer, mut seen) = (web(&door(shop), "PlaceOrder", &request).await, BytesMut::new());
    let placed: PlaceOrderResponse = next(&mut answer, &mut seen).await.unwrap();
    let last = next::<PlaceOrderResponse>(&mut answer, &mut seen).await.unwrap_err();
    assert!(last.contains("grpc-status: 0"), "{last}");
    let order_id = placed.order.unwrap().order_id;
    let request = WatchOrderRequest { order_id, after_version: 0 };
    let (mut answer, mut seen) = (web(&door(shop), "WatchOrder", &request).await, BytesMut::new());
    let mut states = Vec::new();
    while !states.ends_with(&[OrderState::Confirmed]) {
        let change: WatchOrderResponse = next(&mut answer, &mut seen).await.unwrap();
        states.push(change.change.unwrap().state());
    }
    states.iter().map(|state| state.as_str_name().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_and_watched_by_json_grpc_and_grpc_web() {
    let shop = open().await;
    let sku = shop.stocked(10).await;

    let told =
        [by_json(&shop, &sku).await, by_grpc(&shop, &sku).await, by_grpc_web(&shop, &sku).await];

    for states in told {
        assert_eq!(states, ["ORDER_STATE_PENDING", "ORDER_STATE_CONFIRMED"]);
    }
    let health = browse(&door(&shop), Request::get("/health").body(Bytes::new()).unwrap()).await;
    let health = health.json().await;
    let services = health["services"].as_object().unwrap();
    let mut all = [SERVICES, &["storefront"]].concat();
    all.sort_unstable();
    assert_eq!(services.keys().collect::<Vec<_>>(), all, "{health}");
    assert!(services.values().all(|service| service["status"] != "unhealthy"), "{health}");
    let log = shop.platform.service(GATEWAY).log();
    assert!(log.contains("/v1/orders/{order_id}:watch"), "the access log names templates");
    for personal in [GOOD_CARD, "Ada Lovelace", "Analytical Street"] {
        assert!(!log.contains(personal), "the log says {personal}");
    }
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_list_their_own_orders_and_every_line_of_a_call_names_its_request() {
    let shop = open().await;
    let sku = shop.stocked(10).await;
    let at = &door(&shop);
    let (mine, others) = (json_order(at, &sku).await, json_order(at, &sku).await);
    assert_eq!(tell(at, Method::POST, "/v1/orders", &others).await.status, 200);
    let request = Request::post("/v1/orders")
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-request-id", "this-request")
        .header("x-correlation-id", "this-story");
    let placed = browse(at, request.body(mine.to_string().into()).unwrap()).await;
    assert_eq!((placed.status.as_u16(), placed.header("x-request-id")), (200, "this-request"));
    let placed = placed.json().await["order"].clone();
    let settled = shop.settled(placed["orderId"].as_str().unwrap()).await;

    let customer = mine["customerId"].as_str().unwrap();
    let who = Who::Customer(customer.parse().unwrap());
    let token = Callers::of(&shop.platform).users.header(who).unwrap();
    let own = Door { at: at.at, token };
    let orders = eventually("the list to have it as it is", async || {
        let request = Request::get("/v1/orders").body(Bytes::new()).unwrap();
        let listed = browse(&own, request).await.json().await;
        let orders = listed["orders"].as_array().cloned().unwrap_or_default();
        let is_as_it_is = |it: &Value| it["state"] == settled.state().as_str_name();
        orders.iter().any(is_as_it_is).then_some(orders)
    })
    .await;
    assert_eq!(orders.len(), 1, "nobody else's: {orders:?}");
    for (name, value) in [
        ("orderId", &placed["orderId"]),
        ("customerId", &mine["customerId"]),
        ("total", &placed["total"]),
        ("lineCount", &json!(1)),
    ] {
        assert_eq!(&orders[0][name], value, "{name} of {orders:?}");
    }
    let nobodys = Request::get("/v1/orders").body(Bytes::new()).unwrap();
    assert_eq!(mesh_testkit::browse(at.at, nobodys).await.unwrap().status, 401);

    let lines = |service: &str, name: &str, value: &str| {
        let log = shop.platform.service(service).log();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line[name] == value).collect::<Vec<_>>()
    };
    let at_the_door = lines(GATEWAY, "correlation_id", "this-story");
    assert!(at_the_door.iter().any(|line| line["message"] == "request"), "the access line");
    assert!(at_the_door.iter().all(|line| line["request_id"] == "this-request"), "{at_the_door:?}");
    let key = mine["requestId"].as_str().unwrap();
    let of_the_call = lines("orders", "idempotency_key", key);
    assert!(!of_the_call.is_empty(), "no line of the call");
    for line in of_the_call {
        let ids = (&line["request_id"], &line["correlation_id"]);
        assert_eq!(ids, (&json!("this-request"), &json!("this-story")), "{line}");
    }
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_dies_costs_its_connections_and_no_order() {
    let shop = open().await;
    let sku = shop.stocked(10).await;
    let at = &door(&shop);
    let order = json_order(at, &sku).await;
    let placed = tell(at, Method::POST, "/v1/orders", &order).await.json().await;
    let order_id = placed["order"]["orderId"].as_str().unwrap().to_owned();
    let request = Request::get(format!("/v1/orders/{order_id}:watch")).body(Bytes::new()).unwrap();
    let mut watch = browse(at, request).await;
    assert!(watch.piece().await.is_some());

    shop.platform.service(GATEWAY).kill().await;

    eventually("the watch to break off", async || watch.piece().await.is_none()).await;
    shop.platform.service(GATEWAY).ready().await;
    // The same request again, as a client sends it that has heard nothing.
    let again = tell(at, Method::POST, "/v1/orders", &order).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json().await["order"]["orderId"], order_id.as_str());
    assert!(is_settled(shop.settled(&order_id).await.state()));
    shop.audit_at_rest().await;
    shop.platform.shutdown().await;
}

/// Asks one of two doors again and again, and the other one whenever that fails.
struct Visitor {
    own: Door,
    other: Door,
    answered: AtomicUsize,
    failed: AtomicUsize,
}

impl Visitor {
    fn new(own: &Door, other: &Door) -> Self {
        let [own, other] = [own, other].map(Door::clone);
        Self { own, other, answered: AtomicUsize::new(0), failed: AtomicUsize::new(0) }
    }

    async fn visit(&self, target: &str) {
        loop {
            let request = || Request::get(target).body(Bytes::new()).unwrap();
            match whole(&self.own, request()).await {
                Some(_) => self.answered.fetch_add(1, SeqCst),
                None => {
                    let again = whole(&self.other, request()).await;
                    assert!(again.is_some(), "what is safe to send again is answered elsewhere");
                    self.failed.fetch_add(1, SeqCst)
                }
            };
        }
    }
}

/// A good answer to its end; none if there is none.
async fn whole(door: &Door, mut request: Request<Bytes>) -> Option<Value> {
    request.headers_mut().insert(header::AUTHORIZATION, door.token.clone());
    let answer = mesh_testkit::browse(door.at, request).await.ok();
    let mut answer = answer.filter(|answer| answer.status == 200)?;
    let mut body = Vec::new();
    while let Some(piece) = answer.piece().await {
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_gateways_one_that_is_killed_costs_its_own_connections_and_nothing_else() {
    let shop = Shop::with_gateway(|options| options.replicas(GATEWAY, 2)).await;
    let sku = shop.stocked(100).await;
    let token = door(&shop).token;
    let [first, second] = [0, 1].map(|number| shop.platform.replica(GATEWAY, number).grpc());
    let [first, second] = [first, second].map(|at| Door { at, token: token.clone() });
    let (first, second) = (&first, &second);
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(json_order(second, &sku).await);
    }
    let unlucky = Visitor::new(first, second);
    let lucky = Visitor::new(second, first);
    let target = format!("/v1/products/{sku}");
    let place = |at, order: &Value| {
        let request = Request::post("/v1/orders").header(header::CONTENT_TYPE, "application/json");
        whole(at, request.body(order.to_string().into()).unwrap())
    };

    let scene = async {
        for visitor in [&unlucky, &lucky] {
            eventually("answers", async || visitor.answered.load(SeqCst) >= 50).await;
        }
        let placing = join_all(orders.iter().map(async |order| match place(first, order).await {
            Some(placed) => placed,
            None => place(second, order).await.expect("it is safe to send again"),
        }));
        let gateway = shop.platform.replica(GATEWAY, 0);
        let (placed, ()) = tokio::join!(placing, gateway.kill());
        eventually("its visitors to notice", async || unlucky.failed.load(SeqCst) > 0).await;
        gateway.ready().await;
        let before = unlucky.answered.load(SeqCst);
        eventually("it to answer again", async || unlucky.answered.load(SeqCst) > before).await;
        placed
    };
    let placed = tokio::select! {
        placed = scene => placed,
        _ = join_all((0..4).flat_map(|_| [&unlucky, &lucky]).map(|it| it.visit(&target))) => {
            unreachable!("visitors never stop")
        }
    };

    assert_eq!(lucky.failed.load(SeqCst), 0, "nobody else notices");
    for (order, placed) in orders.iter().zip(&placed) {
        let order_id = placed["order"]["orderId"].as_str().unwrap();
        let again = place(second, order).await.unwrap();
        assert_eq!(again["order"]["orderId"], order_id, "ordered once");
        assert!(is_settled(shop.settled(order_id).await.state()));
    }
    shop.audit_at_rest().await;
    shop.platform.shutdown().await;
}
