//! What no request can say.

use shop::orders::v1::{
    AddCartLineRequest, CancelOrderRequest, ChangeCartLineRequest, ClearCartRequest,
    ListOrderEventsRequest, ListOrdersRequest, MergeCartsRequest, OrderState,
    RemoveCartLineRequest,
};
use tonic::Code;

use crate::{
    carts::{add, change, clear, merge, remove},
    lab::{Lab, MUG, malformed, refused, uuid},
};

const NO_UUIDS: [&str; 3] = ["", "not-a-uuid", "0197f3a0c2d47b3e8a1c5d6e7f809a1b"];

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_cart_that_cannot_be_is_refused_with_the_fields_name() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let customer = uuid();
    node.fill(&customer, &[(MUG, 1)]).await;
    let mut carts = node.carts();

    for id in NO_UUIDS.map(str::to_owned) {
        for (request_id, customer_id, field) in
            [(id.clone(), customer.clone(), "request_id"), (uuid(), id.clone(), "customer_id")]
        {
            let ids = || (request_id.clone(), customer_id.clone());
            let why = "UUID_MALFORMED";
            let (request_id, customer_id) = ids();
            let request = AddCartLineRequest { request_id, customer_id, ..add(&customer, MUG, 1) };
            malformed(carts.add_cart_line(request).await, why, field);
            let (request_id, customer_id) = ids();
            let request =
                ChangeCartLineRequest { request_id, customer_id, ..change(&customer, MUG, 1) };
            malformed(carts.change_cart_line(request).await, why, field);
            let (request_id, customer_id) = ids();
            let request =
                RemoveCartLineRequest { request_id, customer_id, ..remove(&customer, MUG) };
            malformed(carts.remove_cart_line(request).await, why, field);
            let (request_id, customer_id) = ids();
            let request = ClearCartRequest { request_id, customer_id, ..clear(&customer) };
            malformed(carts.clear_cart(request).await, why, field);
            let (request_id, customer_id) = ids();
            let request =
                MergeCartsRequest { request_id, customer_id, ..merge(&customer, &uuid()) };
            malformed(carts.merge_carts(request).await, why, field);
        }
        let answer = carts.merge_carts(merge(&customer, &id)).await;
        malformed(answer, "UUID_MALFORMED", "source_customer_id");
    }
    for sku in ["", "mug", "MUG BLUE", "MÜG", &"A".repeat(41)] {
        let why = "SKU_MALFORMED";
        malformed(carts.add_cart_line(add(&customer, sku, 1)).await, why, "sku");
        malformed(carts.change_cart_line(change(&customer, sku, 1)).await, why, "sku");
        malformed(carts.remove_cart_line(remove(&customer, sku)).await, why, "sku");
    }
    for quantity in [0, -1, i64::MIN, 1_000_001, i64::MAX] {
        let why = "NUMBER_OUT_OF_RANGE";
        malformed(carts.add_cart_line(add(&customer, MUG, quantity)).await, why, "quantity");
        malformed(carts.change_cart_line(change(&customer, MUG, quantity)).await, why, "quantity");
    }
    for etag in ["x", "-1", "99999999999999999999"].map(str::to_owned) {
        let why = "ETAG_MALFORMED";
        let request = AddCartLineRequest { etag: etag.clone(), ..add(&customer, MUG, 1) };
        malformed(carts.add_cart_line(request).await, why, "etag");
        let request = MergeCartsRequest { source_etag: etag, ..merge(&customer, &uuid()) };
        malformed(carts.merge_carts(request).await, why, "source_etag");
    }
    let own = carts.merge_carts(merge(&customer, &customer)).await;
    malformed(own, "CUSTOMERS_EQUAL", "source_customer_id");

    assert_eq!(node.cart(&customer).await.etag, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_cannot_be_answered_is_refused_with_the_fields_name() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let customer = uuid();
    let order_id = node.place(&customer).await.order_id;
    node.place(&customer).await;
    node.lists(2).await;
    let list = |request: ListOrdersRequest| {
        let mut queries = node.queries();
        async move { queries.list_orders(request).await }
    };
    let events = |request: ListOrderEventsRequest| {
        let mut queries = node.queries();
        async move { queries.list_order_events(request).await }
    };
    let all = ListOrdersRequest::default;

    for id in &NO_UUIDS[1..] {
        let request = ListOrdersRequest { customer_id: (*id).to_owned(), ..all() };
        malformed(list(request).await, "UUID_MALFORMED", "customer_id");
    }
    for id in NO_UUIDS.map(str::to_owned) {
        let request = ListOrderEventsRequest { order_id: id, ..ListOrderEventsRequest::default() };
        malformed(events(request).await, "UUID_MALFORMED", "order_id");
    }
    for state in [-1, 11, i32::MAX] {
        malformed(list(ListOrdersRequest { state, ..all() }).await, "ENUM_UNKNOWN", "state");
    }
    let page_size = -1;
    let why = "PAGE_SIZE_NEGATIVE";
    malformed(list(ListOrdersRequest { page_size, ..all() }).await, why, "page_size");
    let request =
        ListOrderEventsRequest { order_id: order_id.clone(), page_size, page_token: String::new() };
    malformed(events(request).await, why, "page_size");
    let one = ListOrdersRequest { page_size: 1, ..all() };
    let token = list(one).await.unwrap().into_inner().next_page_token;
    assert!(!token.is_empty());
    let why = "PAGE_TOKEN_MALFORMED";
    for page_token in ["x".to_owned(), token[2..].to_owned()] {
        malformed(list(ListOrdersRequest { page_token, ..all() }).await, why, "page_token");
    }
    // A token belongs to its list.
    for (customer_id, state) in
        [(customer, OrderState::Unspecified), (String::new(), OrderState::Pending)]
    {
        let page_token = token.clone();
        let request =
            ListOrdersRequest { customer_id, state: state.into(), page_token, page_size: 0 };
        malformed(list(request).await, why, "page_token");
    }
    let request = ListOrderEventsRequest { order_id, page_token: token, page_size: 0 };
    malformed(events(request).await, why, "page_token");
    let request = ListOrderEventsRequest { order_id: uuid(), ..ListOrderEventsRequest::default() };
    refused(events(request).await, Code::NotFound, "ORDER_NOT_FOUND", "order_id");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_for_an_operator_is_not_cancelled() {
    let lab = Lab::start().await;
    let node = lab
        .node_with(|config| {
            config.checkout_step_limit_seconds = 0.1;
            config.checkout_limit_seconds = 0.2;
        })
        .await;
    let order_id = node.place(&uuid()).await.order_id;
    let state = OrderState::NeedsAttention.into();
    let parked = ListOrdersRequest { state, ..ListOrdersRequest::default() };
    mesh_testkit::eventually("the order to be parked", async || {
        node.listed(&parked).await.len() == 1
    })
    .await;

    let request = CancelOrderRequest { request_id: uuid(), order_id };
    let answer = node.orders().cancel_order(request).await;

    refused(answer, Code::FailedPrecondition, "ORDER_NOT_CANCELLABLE", "order_id");
}
