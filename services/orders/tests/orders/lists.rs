//! Lists of orders.

use shop::orders::v1::{
    CancelOrderRequest, GetOrderRequest, ListOrdersRequest, Order, OrderState, OrderSummary,
};

use crate::lab::{Lab, Node, uuid};

fn of(customer_id: &str) -> ListOrdersRequest {
    ListOrdersRequest { customer_id: customer_id.to_owned(), ..ListOrdersRequest::default() }
}

fn ids(orders: &[OrderSummary]) -> Vec<&str> {
    orders.iter().map(|order| order.order_id.as_str()).collect()
}

async fn cancel(node: &Node, order: &Order) {
    let order_id = order.order_id.clone();
    let request = CancelOrderRequest { request_id: uuid(), order_id };
    node.orders().cancel_order(request).await.unwrap();
}

async fn placed(node: &Node, customer: &str, count: usize) -> Vec<Order> {
    let mut orders = Vec::new();
    for _ in 0..count {
        orders.push(node.place(customer).await);
    }
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_listed_newest_first_by_customer_and_state() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let (ada, grace) = (uuid(), uuid());
    let adas = placed(&node, &ada, 3).await;
    let graces = placed(&node, &grace, 2).await;
    cancel(&node, &adas[1]).await;

    let cancelling = ListOrdersRequest { state: OrderState::Cancelling.into(), ..of("") };
    let found = mesh_testkit::eventually("the cancel to be listed", async || {
        let found = node.listed(&cancelling).await;
        (found.len() == 1 && node.listed(&of("")).await.len() == 5).then_some(found)
    })
    .await;

    assert_eq!(ids(&found), [adas[1].order_id.as_str()]);
    let newest_first: Vec<_> = adas.iter().rev().map(|order| order.order_id.as_str()).collect();
    assert_eq!(ids(&node.listed(&of(&ada)).await), newest_first);
    let pending = ListOrdersRequest { state: OrderState::Pending.into(), ..of(&ada) };
    assert_eq!(ids(&node.listed(&pending).await), [newest_first[0], newest_first[2]]);
    let confirmed = ListOrdersRequest { state: OrderState::Confirmed.into(), ..of(&ada) };
    assert!(node.listed(&confirmed).await.is_empty());
    let all = node.listed(&of("")).await;
    assert_eq!(ids(&all)[..2], [graces[1].order_id.as_str(), graces[0].order_id.as_str()]);
    assert!(node.listed(&of(&uuid())).await.is_empty());
    for summary in &all {
        is_the_order(&node, summary).await;
    }
}

/// Asserts that the list shows an order as the order shows itself.
async fn is_the_order(node: &Node, summary: &OrderSummary) {
    let order_id = summary.order_id.clone();
    let request = GetOrderRequest { order_id, as_of_version: summary.version };
    let order = node.orders().get_order(request).await.unwrap().into_inner().order.unwrap();
    let expected = OrderSummary {
        order_id: order.order_id,
        customer_id: order.customer_id,
        state: order.state,
        total: order.total,
        line_count: 2,
        version: order.version,
        create_time: order.create_time,
        update_time: order.update_time,
    };
    assert_eq!(*summary, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_every_order_once_while_others_are_placed() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let customer = uuid();
    let before = placed(&node, &customer, 23).await;
    node.lists(23).await;

    for filter in [of(""), of(&customer)] {
        let mut request = ListOrdersRequest { page_size: 5, ..filter };
        let mut seen = Vec::new();
        let mut pages = 0;
        loop {
            let page = node.queries().list_orders(request.clone()).await.unwrap().into_inner();
            assert!(page.orders.len() <= 5);
            seen.extend(page.orders);
            pages += 1;
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
            // Newer ones come before what was read; the size may change on the way.
            let newer = node.place(&customer).await;
            mesh_testkit::eventually("the newer one to be listed", async || {
                node.listed(&of("")).await[0].order_id == newer.order_id
            })
            .await;
            request.page_size = 4;
        }

        let seen: Vec<_> = ids(&seen);
        let old: Vec<_> = before.iter().rev().map(|order| order.order_id.as_str()).collect();
        let seen_old: Vec<_> = seen.iter().copied().filter(|id| old.contains(id)).collect();
        assert_eq!(seen_old, old, "in order, each once");
        assert!(pages > 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_were_there_before_the_list_are_listed() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let customer = uuid();
    let orders = placed(&node, &customer, 7).await;
    cancel(&node, &orders[3]).await;
    node.stop().await;

    // As the database was before there was a list.
    let pool = lab.database.pool().await;
    sqlx::raw_sql(
        "DROP VIEW audit_order_view; DROP TABLE order_view; DROP TABLE projections;
         DROP TABLE cart_answers; DELETE FROM _sqlx_migrations WHERE version > 2",
    )
    .execute(&pool)
    .await
    .unwrap();
    let node = lab.node().await;

    node.lists(7).await;
    let listed = node.listed(&of(&customer)).await;
    let newest_first: Vec<_> = orders.iter().rev().map(|order| order.order_id.as_str()).collect();
    assert_eq!(ids(&listed), newest_first);
    assert_eq!(listed[3].state(), OrderState::Cancelling);
    for summary in &listed {
        is_the_order(&node, summary).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_follows_whichever_replica_takes_the_orders() {
    let lab = Lab::start().await;
    let nodes = [lab.node().await, lab.node().await];
    let customer = uuid();
    for n in 0..6 {
        nodes[n % 2].place(&customer).await;
    }
    for node in &nodes {
        node.lists(6).await;
    }
    let [first, second] = nodes;
    first.stop().await;

    second.place(&customer).await;

    second.lists(7).await;
}
