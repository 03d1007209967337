//! The spans of an order's story, as trees.

use meshctl::traces::{Kind, Span};
use shop::{
    inventory::v1::inventory_service_server::InventoryServiceServer,
    orders::v1::{OrderState, PlaceOrderRequest},
    shipping::v1::{RecordCarrierUpdateRequest, ShipmentState},
};

use super::{Traced, fails_once::FailsOnce, tree::assert_story};
use crate::{
    callers::Callers,
    evidence::step_key,
    shop::{GOOD_CARD, Shop, uuid},
};

const SUCCESS: &str = "\
trace 1
  orders: server PlaceOrder order_id=order request_id=request
    orders: client BatchGetProducts
      catalog: server BatchGetProducts
    orders: saga saga_id=order
      orders: saga step step=reserve saga_id=order
        orders: client ReserveStock
          inventory: server ReserveStock
      orders: saga step step=authorize saga_id=order
        orders: client AuthorizePayment
          payments: server AuthorizePayment
            payments: client AuthorizeCharge
              processor: server AuthorizeCharge
      orders: saga step step=create_shipment saga_id=order
        orders: client CreateShipment
          shipping: server CreateShipment
      orders: saga step step=commit saga_id=order
        orders: client CommitReservation
          inventory: server CommitReservation
      orders: saga step step=capture saga_id=order
        orders: client CapturePayment
          payments: server CapturePayment
            payments: client CaptureCharge
              processor: server CaptureCharge
      orders: saga step step=release_shipment saga_id=order
        orders: client ReleaseShipment
          shipping: server ReleaseShipment
";

const DECLINED: &str = "\
trace 1
  orders: server PlaceOrder order_id=order request_id=request
    orders: client BatchGetProducts
      catalog: server BatchGetProducts
    orders: saga saga_id=order
      orders: saga step step=reserve saga_id=order
        orders: client ReserveStock
          inventory: server ReserveStock
      orders: saga step step=authorize saga_id=order
        orders: client AuthorizePayment status=FAILED_PRECONDITION ERROR
          payments: server AuthorizePayment status=FAILED_PRECONDITION
            payments: client AuthorizeCharge status=FAILED_PRECONDITION ERROR
              processor: server AuthorizeCharge status=FAILED_PRECONDITION
      orders: saga step step=undo_payment saga_id=order
        orders: client UndoPayment
          payments: server UndoPayment
      orders: saga step step=release saga_id=order
        orders: client ReleaseReservation
          inventory: server ReleaseReservation
";

const RETRIED: &str = "\
trace 1
  orders: server PlaceOrder order_id=order request_id=request
    orders: client BatchGetProducts
      catalog: server BatchGetProducts
    orders: saga saga_id=order
      orders: saga step step=reserve saga_id=order
        orders: client ReserveStock
          orders: client attempt attempt=1 status=UNAVAILABLE ERROR
          orders: client attempt attempt=2
            inventory: server ReserveStock
      orders: saga step step=authorize saga_id=order
        orders: client AuthorizePayment
          payments: server AuthorizePayment
            payments: client AuthorizeCharge
              processor: server AuthorizeCharge
      orders: saga step step=create_shipment saga_id=order
        orders: client CreateShipment
          shipping: server CreateShipment
      orders: saga step step=commit saga_id=order
        orders: client CommitReservation
          inventory: server CommitReservation
      orders: saga step step=capture saga_id=order
        orders: client CapturePayment
          payments: server CapturePayment
            payments: client CaptureCharge
              processor: server CaptureCharge
      orders: saga step step=release_shipment saga_id=order
        orders: client ReleaseShipment
          shipping: server ReleaseShipment
";

const RESUMED: &str = "\
trace 1
  orders: server PlaceOrder order_id=order request_id=request
    orders: client BatchGetProducts
      catalog: server BatchGetProducts
  (not received)
    orders: saga step step=reserve saga_id=order
      orders: client ReserveStock
        inventory: server ReserveStock
  (not received)
    payments: server AuthorizePayment
      payments: client AuthorizeCharge
        processor: server AuthorizeCharge
trace 2
  orders: saga saga_id=order link=1
    orders: saga step step=authorize saga_id=order
      orders: client AuthorizePayment
        payments: server AuthorizePayment
    orders: saga step step=create_shipment saga_id=order
      orders: client CreateShipment
        shipping: server CreateShipment
    orders: saga step step=commit saga_id=order
      orders: client CommitReservation
        inventory: server CommitReservation
    orders: saga step step=capture saga_id=order
      orders: client CapturePayment
        payments: server CapturePayment
          payments: client CaptureCharge
            processor: server CaptureCharge
    orders: saga step step=release_shipment saga_id=order
      orders: client ReleaseShipment
        shipping: server ReleaseShipment
";

const REDELIVERED: &str = "\
trace 1
  shipping: server RecordCarrierUpdate request_id=update
    inventory: consume event=ShipmentDispatched
    orders: consume event=ShipmentDispatched
";

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_bought_is_one_tree_of_every_call_and_step() {
    let traced = Traced::open().await;

    let request = order_of(&traced.shop, GOOD_CARD).await;
    let order = place(&traced.shop, &request, OrderState::Confirmed).await;

    let names = [("request", request.request_id.as_str()), ("order", &order)];
    assert_story(&traced, &order, &names, SUCCESS).await;
    traced.shop.platform.shutdown().await;
}

/// The first request is the customer's, and what it is called for is below it.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_bought_at_the_front_door_is_one_tree_from_the_first_request_on() {
    let traced = Traced::with_gateway().await;
    let shop = &traced.shop;
    let request = order_of(shop, GOOD_CARD).await;
    let address = request.address.clone().unwrap();
    let body = serde_json::json!({
        "requestId": request.request_id, "customerId": request.customer_id,
        "cartEtag": request.cart_etag, "cardToken": request.card_token,
        "address": { "recipient": address.recipient, "lines": address.lines,
                     "city": address.city, "postalCode": address.postal_code,
                     "countryCode": address.country_code },
    });
    let asked = http::Request::post("/v1/orders")
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(http::header::AUTHORIZATION, Callers::of(&shop.platform).administrator())
        .body(body.to_string().into())
        .unwrap();

    let answer = mesh_testkit::browse(shop.platform.grpc("gateway"), asked).await.unwrap();

    let order = answer.json().await["order"]["orderId"].as_str().unwrap().to_owned();
    shop.comes_to(&order, OrderState::Confirmed).await;
    shop.rests(&order).await;
    let names = [("request", request.request_id.as_str()), ("order", &order)];
    let (head, inside) = SUCCESS.split_once('\n').unwrap();
    // Whoever asks by HTTP has another id for that, which the door gives.
    let inside = inside.replacen(" request_id=request", "", 1);
    let inside: String = inside.lines().map(|line| format!("    {line}\n")).collect();
    let door = "  gateway: server orders\n    gateway: client PlaceOrder\n";
    assert_story(&traced, &order, &names, &format!("{head}\n{door}{inside}")).await;
    traced.shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sagas_calls_are_made_by_its_service_for_the_customer_and_both_are_on_record() {
    let traced = Traced::open().await;
    let shop = &traced.shop;
    let orders = format!("{}/orders", mesh_local::NAMESPACE);
    let steps = [
        "ReserveStock",
        "AuthorizePayment",
        "CreateShipment",
        "CommitReservation",
        "CapturePayment",
    ];
    let payments = format!("{}/payments", mesh_local::NAMESPACE);
    let made = async |customer: &str, peer: &str, methods: &[&str]| {
        for method in methods {
            let answers = |span: &Span| span.kind == Kind::Server && span.name.ends_with(method);
            let span = traced
                .span(method, |span| answers(span) && span.attribute("enduser.id") == customer);
            assert_eq!(span.await.attribute("mesh.peer"), peer, "{method}");
        }
    };
    let recorded = async |customer: &str, methods| made(customer, &orders, methods).await;

    let request = order_of(shop, GOOD_CARD).await;
    let order = place(shop, &request, OrderState::Confirmed).await;
    recorded(&request.customer_id, &steps).await;
    // Whoever is called for it says so to whom it calls.
    let charged = ["/AuthorizeCharge", "/CaptureCharge"];
    made(&request.customer_id, &payments, &charged).await;
    // What undoes an order is called for its customer, too, whoever wanted it undone.
    let declined = order_of(shop, "4000000000009995").await;
    place(shop, &declined, OrderState::Rejected).await;
    recorded(&declined.customer_id, &["UndoPayment", "ReleaseReservation"]).await;
    // And so is what a parcel's event leads to.
    let shipment_id = step_key(&order, "create_shipment");
    for state in [ShipmentState::Dispatched, ShipmentState::Lost] {
        let (request_id, shipment_id) = (uuid(), shipment_id.clone());
        let update = RecordCarrierUpdateRequest { request_id, shipment_id, state: state.into() };
        shop.shipping().record_carrier_update(update).await.unwrap();
    }
    shop.comes_to(&order, OrderState::Lost).await;
    recorded(&request.customer_id, &["RefundPayment"]).await;

    let spans = traced.door.buffer().spans();
    let unsaid = spans.iter().filter(|span| {
        span.kind == Kind::Server
            && span.attribute("mesh.peer") == orders
            && span.attribute("enduser.id").is_empty()
            // Of what is for everybody nobody is asked who they are.
            && !span.name.ends_with("/BatchGetProducts")
    });
    let unsaid: Vec<_> = unsaid.map(|span| &span.name).collect();
    assert!(unsaid.is_empty(), "nobody knows for whom: {unsaid:?}");
    traced.shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_declined_shows_the_refusal_and_what_was_undone() {
    let traced = Traced::open().await;

    let request = order_of(&traced.shop, "4000000000009995").await;
    let order = place(&traced.shop, &request, OrderState::Rejected).await;

    let names = [("request", request.request_id.as_str()), ("order", &order)];
    assert_story(&traced, &order, &names, DECLINED).await;
    traced.shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_once_shows_both_attempts() {
    let mut door = FailsOnce::bind().await;
    let source = format!("static:{}", door.address);
    let traced = Traced::open_with(|options| options.source("orders", "inventory", &source)).await;
    let shop = &traced.shop;
    let inventory = shop.platform.grpc("inventory");
    door.lead_to::<InventoryServiceServer<()>>(inventory, "/ReserveStock");

    let request = order_of(shop, GOOD_CARD).await;
    let order = place(shop, &request, OrderState::Confirmed).await;

    assert_eq!(door.refused(), 1);
    let names = [("request", request.request_id.as_str()), ("order", &order)];
    assert_story(&traced, &order, &names, RETRIED).await;
    traced.shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_outlives_a_crash_is_told_on_both_sides_of_it() {
    let traced = Traced::open().await;
    let shop = &traced.shop;
    let request = order_of(shop, GOOD_CARD).await;
    // The order waits for its payment until what happened before has been sent.
    shop.platform.service("payments").stop();
    let order = shop.place(request.clone()).await.unwrap().order_id;
    traced.span("the first step", |span| span.attribute("step") == "reserve").await;
    let orders = shop.platform.service("orders");
    let starts = orders.arm("authorize:after_call").await;
    shop.platform.service("payments").cont();
    orders.restarted(starts).await;
    shop.comes_to(&order, OrderState::Confirmed).await;

    let names = [("request", request.request_id.as_str()), ("order", &order)];
    assert_story(&traced, &order, &names, RESUMED).await;
    traced.shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_delivered_twice_stays_in_the_trace_of_its_cause() {
    let traced = Traced::open().await;
    let shop = &traced.shop;
    let request = order_of(shop, GOOD_CARD).await;
    let order = place(shop, &request, OrderState::Confirmed).await;
    let orders = shop.platform.service("orders");
    let starts = orders.arm("consumer:before_ack").await;
    let update = RecordCarrierUpdateRequest {
        request_id: uuid(),
        shipment_id: step_key(&order, "create_shipment"),
        state: ShipmentState::Dispatched.into(),
    };
    shop.shipping().record_carrier_update(update.clone()).await.unwrap();
    orders.restarted(starts).await;
    shop.comes_to(&order, OrderState::Shipped).await;

    let names = [("update", update.request_id.as_str()), ("order", &order)];
    assert_story(&traced, &update.request_id, &names, REDELIVERED).await;
    traced.shop.platform.shutdown().await;
}

async fn order_of(shop: &Shop, card: &str) -> PlaceOrderRequest {
    let sku = shop.stocked(5).await;
    shop.order_of(&sku, 1, card).await
}

/// The order's id, once it has come to its end.
async fn place(shop: &Shop, request: &PlaceOrderRequest, end: OrderState) -> String {
    let order = shop.place(request.clone()).await.unwrap().order_id;
    shop.comes_to(&order, end).await;
    shop.rests(&order).await;
    order
}
