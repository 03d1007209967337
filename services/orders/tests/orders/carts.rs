//! Carts, line by line.

use futures::future::join_all;
use shop::orders::v1::{
    AddCartLineRequest, Cart, ChangeCartLineRequest, ClearCartRequest, GetCartRequest,
    MergeCartsRequest, RemoveCartLineRequest,
};
use tonic::{Code, Status};

use crate::lab::{Lab, MUG, Node, TEAPOT, cart_lines, refused, uuid};

/// A change of a cart, as a customer asks for it.
#[derive(Clone, Debug)]
pub enum Ask {
    Add(AddCartLineRequest),
    Change(ChangeCartLineRequest),
    Remove(RemoveCartLineRequest),
    Clear(ClearCartRequest),
    Merge(MergeCartsRequest),
}

impl Node {
    pub async fn ask(&self, ask: Ask) -> Result<Cart, Status> {
        let mut carts = self.carts();
        let cart = match ask {
            Ask::Add(request) => carts.add_cart_line(request).await?.into_inner().cart,
            Ask::Change(request) => carts.change_cart_line(request).await?.into_inner().cart,
            Ask::Remove(request) => carts.remove_cart_line(request).await?.into_inner().cart,
            Ask::Clear(request) => carts.clear_cart(request).await?.into_inner().cart,
            Ask::Merge(request) => carts.merge_carts(request).await?.into_inner().cart,
        };
        Ok(cart.unwrap())
    }

    pub async fn cart(&self, customer_id: &str) -> Cart {
        let request = GetCartRequest { customer_id: customer_id.to_owned() };
        self.carts().get_cart(request).await.unwrap().into_inner().cart.unwrap()
    }
}

pub fn add(customer_id: &str, sku: &str, quantity: i64) -> AddCartLineRequest {
    let (customer_id, sku) = (customer_id.to_owned(), sku.to_owned());
    AddCartLineRequest { request_id: uuid(), customer_id, sku, quantity, etag: String::new() }
}

pub fn change(customer_id: &str, sku: &str, quantity: i64) -> ChangeCartLineRequest {
    let (customer_id, sku) = (customer_id.to_owned(), sku.to_owned());
    ChangeCartLineRequest { request_id: uuid(), customer_id, sku, quantity, etag: String::new() }
}

pub fn remove(customer_id: &str, sku: &str) -> RemoveCartLineRequest {
    let (customer_id, sku) = (customer_id.to_owned(), sku.to_owned());
    RemoveCartLineRequest { request_id: uuid(), customer_id, sku, etag: String::new() }
}

pub fn clear(customer_id: &str) -> ClearCartRequest {
    let customer_id = customer_id.to_owned();
    ClearCartRequest { request_id: uuid(), customer_id, etag: String::new() }
}

pub fn merge(customer_id: &str, source: &str) -> MergeCartsRequest {
    MergeCartsRequest {
        request_id: uuid(),
        customer_id: customer_id.to_owned(),
        source_customer_id: source.to_owned(),
        ..MergeCartsRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_changed_line_by_line() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let customer = uuid();

    let added = node.ask(Ask::Add(add(&customer, MUG, 2))).await.unwrap();
    assert_eq!((added.lines, added.etag.as_str()), (cart_lines(&[(MUG, 2)]), "1"));
    let more = AddCartLineRequest { etag: added.etag, ..add(&customer, MUG, 3) };
    node.ask(Ask::Add(more)).await.unwrap();
    node.ask(Ask::Add(add(&customer, TEAPOT, 1))).await.unwrap();
    let changed = node.ask(Ask::Change(change(&customer, TEAPOT, 7))).await.unwrap();
    assert_eq!(changed.lines, cart_lines(&[(MUG, 5), (TEAPOT, 7)]));
    let removed = node.ask(Ask::Remove(remove(&customer, MUG))).await.unwrap();
    assert_eq!(removed.lines, cart_lines(&[(TEAPOT, 7)]));
    assert_eq!(node.cart(&customer).await, removed);
    let cleared = node.ask(Ask::Clear(clear(&customer))).await.unwrap();

    assert_eq!((cleared.lines.len(), cleared.etag.as_str()), (0, "6"));
    assert_eq!(node.cart(&customer).await, cleared);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_change_is_made_once_and_answered_as_the_first_time() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let (customer, guest) = (uuid(), uuid());
    let asks = [
        Ask::Add(add(&customer, MUG, 2)),
        Ask::Change(change(&customer, MUG, 9)),
        Ask::Add(add(&customer, TEAPOT, 1)),
        Ask::Remove(remove(&customer, MUG)),
        Ask::Clear(clear(&customer)),
        Ask::Merge(merge(&customer, &guest)),
    ];
    node.fill(&guest, &[(MUG, 4)]).await;

    let mut first = Vec::new();
    for ask in &asks {
        first.push(node.ask(ask.clone()).await.unwrap());
    }
    let now = node.cart(&customer).await;
    for (ask, first) in asks.iter().zip(&first) {
        assert_eq!(node.ask(ask.clone()).await.unwrap(), *first, "{ask:?}");
    }
    // Another process answers alike.
    let other = lab.node().await;
    for (ask, first) in asks.iter().zip(&first) {
        assert_eq!(other.ask(ask.clone()).await.unwrap(), *first, "{ask:?}");
    }

    assert_eq!(node.cart(&customer).await, now);
    assert_eq!((now.etag.as_str(), now.lines), ("6", cart_lines(&[(MUG, 4)])));
    assert_eq!(node.cart(&guest).await.etag, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_changes_at_once_have_one_effect_and_equal_answers() {
    let lab = Lab::start().await;
    let nodes = [lab.node().await, lab.node().await];
    let (customer, guest) = (uuid(), uuid());
    nodes[0].fill(&customer, &[(MUG, 1), (TEAPOT, 1)]).await;
    nodes[0].fill(&guest, &[(MUG, 10)]).await;
    let asks = [
        Ask::Add(add(&customer, MUG, 2)),
        Ask::Change(change(&customer, TEAPOT, 5)),
        Ask::Merge(merge(&customer, &guest)),
        Ask::Remove(remove(&customer, TEAPOT)),
        Ask::Clear(clear(&customer)),
    ];

    let mut lines = Vec::new();
    for ask in asks {
        let answers = join_all((0..20).map(|n| nodes[n % 2].ask(ask.clone()))).await.into_iter();
        let answers: Vec<_> = answers.map(Result::unwrap).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{ask:?}: {answers:?}");
        lines.push(answers[0].lines.clone());
    }

    assert_eq!(lines[0], cart_lines(&[(MUG, 3), (TEAPOT, 1)]));
    assert_eq!(lines[1], cart_lines(&[(MUG, 3), (TEAPOT, 5)]));
    assert_eq!(lines[2], cart_lines(&[(MUG, 13), (TEAPOT, 5)]));
    assert_eq!(lines[3], cart_lines(&[(MUG, 13)]));
    assert_eq!(nodes[0].cart(&customer).await.etag, "6");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_under_a_used_request_id_is_refused() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let (customer, guest) = (uuid(), uuid());
    node.fill(&customer, &[(MUG, 1), (TEAPOT, 1)]).await;
    let (code, why) = (Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS");

    let first = add(&customer, MUG, 2);
    node.ask(Ask::Add(first.clone())).await.unwrap();
    let other = AddCartLineRequest { quantity: 3, ..first };
    refused(node.carts().add_cart_line(other).await, code, why, "request_id");
    let first = change(&customer, MUG, 2);
    node.ask(Ask::Change(first.clone())).await.unwrap();
    let other = ChangeCartLineRequest { quantity: 3, ..first };
    refused(node.carts().change_cart_line(other).await, code, why, "request_id");
    let first = remove(&customer, TEAPOT);
    node.ask(Ask::Remove(first.clone())).await.unwrap();
    let other = RemoveCartLineRequest { sku: MUG.to_owned(), ..first };
    refused(node.carts().remove_cart_line(other).await, code, why, "request_id");
    let first = merge(&customer, &guest);
    node.ask(Ask::Merge(first.clone())).await.unwrap();
    let other = MergeCartsRequest { source_customer_id: uuid(), ..first };
    refused(node.carts().merge_carts(other).await, code, why, "request_id");
    let first = clear(&customer);
    let cart = node.ask(Ask::Clear(first.clone())).await.unwrap();
    let other = ClearCartRequest { etag: cart.etag.clone(), ..first };
    refused(node.carts().clear_cart(other).await, code, why, "request_id");

    assert_eq!(node.cart(&customer).await, cart);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_was_changed_meanwhile_or_has_no_such_line_is_left_as_it_is() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let customer = uuid();
    let cart = node.fill(&customer, &[(MUG, 999_999)]).await;
    let etag = || "7".to_owned();
    let (stale, why) = (Code::Aborted, "CART_CHANGED");
    let mut carts = node.carts();

    let request = AddCartLineRequest { etag: etag(), ..add(&customer, MUG, 1) };
    refused(carts.add_cart_line(request).await, stale, why, "etag");
    let request = ChangeCartLineRequest { etag: etag(), ..change(&customer, MUG, 1) };
    refused(carts.change_cart_line(request).await, stale, why, "etag");
    let request = RemoveCartLineRequest { etag: etag(), ..remove(&customer, MUG) };
    refused(carts.remove_cart_line(request).await, stale, why, "etag");
    let request = ClearCartRequest { etag: etag(), ..clear(&customer) };
    refused(carts.clear_cart(request).await, stale, why, "etag");
    let (none, why) = (Code::NotFound, "CART_LINE_NOT_FOUND");
    refused(carts.change_cart_line(change(&customer, TEAPOT, 1)).await, none, why, "sku");
    refused(carts.remove_cart_line(remove(&customer, TEAPOT)).await, none, why, "sku");
    let code = Code::FailedPrecondition;
    let much = carts.add_cart_line(add(&customer, MUG, 2)).await;
    refused(much, code, "QUANTITY_TOO_LARGE", "quantity");
    assert_eq!(node.cart(&customer).await, cart);

    let skus: Vec<_> = (0..100).map(|n| format!("SKU-{n}")).collect();
    let full: Vec<_> = skus.iter().map(|sku| (sku.as_str(), 1)).collect();
    node.fill(&customer, &full).await;
    refused(carts.add_cart_line(add(&customer, MUG, 1)).await, code, "CART_FULL", "sku");
    node.ask(Ask::Add(add(&customer, "SKU-99", 1))).await.unwrap();
    // A refused change leaves no cart behind where there was none.
    let nobody = uuid();
    refused(carts.remove_cart_line(remove(&nobody, MUG)).await, none, "CART_LINE_NOT_FOUND", "sku");
    let count = "SELECT count(*) FROM carts WHERE customer_id = $1::uuid";
    let pool = lab.database.pool().await;
    let left: i64 = sqlx::query_scalar(count).bind(&nobody).fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0);
}
