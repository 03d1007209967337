//! What happened to an order, as it happens and afterwards.

use mesh_proto::operator::v1::CompensateSagaRequest;
use shop::orders::v1::{
    ListOrderEventsRequest, ListOrdersRequest, OrderEvent, OrderState, WatchOrderRequest,
};

use crate::lab::{Lab, Node, uuid};

/// A service that soon gives up waiting for its neighbours, and asks an operator.
async fn impatient(lab: &Lab) -> Node {
    lab.node_with(|config| {
        config.checkout_step_limit_seconds = 0.1;
        config.checkout_limit_seconds = 0.3;
    })
    .await
}

async fn parked_order(node: &Node) -> String {
    let order_id = node.place(&uuid()).await.order_id;
    let state = OrderState::NeedsAttention.into();
    let request = ListOrdersRequest { state, ..ListOrdersRequest::default() };
    mesh_testkit::eventually("the order to be parked, and listed so", async || {
        node.listed(&request).await.iter().any(|order| order.order_id == order_id)
    })
    .await;
    order_id
}

async fn events(node: &Node, order_id: &str, page_size: i32) -> Vec<OrderEvent> {
    let order_id = order_id.to_owned();
    let mut request = ListOrderEventsRequest { order_id, page_size, page_token: String::new() };
    let mut all = Vec::new();
    loop {
        let page = node.queries().list_order_events(request.clone()).await.unwrap().into_inner();
        all.extend(page.events);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_that_an_operator_had_an_order_undone() {
    let lab = Lab::start().await;
    let node = impatient(&lab).await;
    let order_id = parked_order(&node).await;
    let request = WatchOrderRequest { order_id: order_id.clone(), after_version: 0 };
    let mut watch = node.orders().watch_order(request).await.unwrap().into_inner();

    let request = CompensateSagaRequest { request_id: uuid(), saga_id: order_id };
    node.sagas().compensate_saga(request).await.unwrap();

    let mut told = Vec::new();
    while told.len() < 4 {
        let change = watch.message().await.unwrap().unwrap().change.unwrap();
        told.push((change.event.clone(), change.state()));
    }
    let name = |event: &str| format!("shop.orders.v1.{event}");
    let expected = [
        (name("OrderPlaced"), OrderState::Pending),
        (name("OrderNeedsAttention"), OrderState::NeedsAttention),
        (name("OrderCompensationOrdered"), OrderState::Cancelling),
        (name("OrderNeedsAttention"), OrderState::NeedsAttention),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orders_events_are_listed_with_their_reasons_page_by_page() {
    let lab = Lab::start().await;
    let node = impatient(&lab).await;
    let order_id = parked_order(&node).await;

    let all = events(&node, &order_id, 0).await;

    let types: Vec<_> = all.iter().map(|event| event.r#type.as_str()).collect();
    assert_eq!(types, ["shop.orders.v1.OrderPlaced", "shop.orders.v1.OrderNeedsAttention"]);
    let reason = all[1].reason.as_ref().unwrap();
    assert_eq!(reason.reason, "CHECKOUT_OVERDUE");
    assert_eq!(all[0].reason, None);
    assert_eq!((all[0].version, all[0].state()), (1, OrderState::Pending));
    assert!(all[1].version > 2, "the checkout's steps take the numbers between");
    assert!(all.iter().all(|event| event.time.is_some()));
    assert_eq!(events(&node, &order_id, 1).await, all, "one by one");
    // What happens between two pages is on a later one.
    let request = ListOrderEventsRequest {
        order_id: order_id.clone(),
        page_size: 1,
        page_token: String::new(),
    };
    let first = node.queries().list_order_events(request.clone()).await.unwrap().into_inner();
    let compensate = CompensateSagaRequest { request_id: uuid(), saga_id: order_id };
    node.sagas().compensate_saga(compensate).await.unwrap();
    let page_token = first.next_page_token;
    let rest = ListOrderEventsRequest { page_size: 10, page_token, ..request };
    let rest = node.queries().list_order_events(rest).await.unwrap().into_inner().events;
    assert_eq!(rest[0], all[1]);
    assert_eq!(rest[1].r#type, "shop.orders.v1.OrderCompensationOrdered");
}
