//! Lists of shipments, in pages.

use shop::shipping::v1::{
    CreateShipmentRequest, ListShipmentsRequest, ListShipmentsResponse, Shipment, ShipmentState,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::support::{Shipping, cancel, create, fields, reason, release};

#[tokio::test]
async fn the_shipments_of_an_order_are_listed_with_the_oldest_first() {
    let shipping = Shipping::start().await;
    let order_id = Uuid::now_v7().to_string();
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(shipping.create(of(&order_id)).await.unwrap());
        shipping.create(create()).await.unwrap();
    }

    let listed = shipping.list(of_order(&order_id)).await.unwrap();
    let unknown = shipping.list(of_order(&Uuid::now_v7().to_string())).await.unwrap();

    assert_eq!(listed, ListShipmentsResponse { shipments: made, next_page_token: String::new() });
    assert_eq!(unknown, ListShipmentsResponse::default());
}

#[tokio::test]
async fn shipments_in_a_state_are_listed_and_marks_are_none() {
    let shipping = Shipping::start().await;
    let (held, cancelled) = (shipping.held().await, shipping.released().await);
    shipping.cancel(cancel(&cancelled)).await.unwrap();
    shipping.cancel(cancel(&create().request_id)).await.unwrap();

    let in_state = async |state| ids(&shipping.list(in_state(state)).await.unwrap().shipments);

    assert_eq!(in_state(ShipmentState::Held).await, [held]);
    assert_eq!(in_state(ShipmentState::Cancelled).await, [cancelled]);
    assert!(in_state(ShipmentState::Released).await.is_empty());
}

#[tokio::test]
async fn both_filters_hold_together() {
    let shipping = Shipping::start().await;
    let order_id = Uuid::now_v7().to_string();
    let held = shipping.create(of(&order_id)).await.unwrap();
    let released = shipping.create(of(&order_id)).await.unwrap().shipment_id;
    shipping.release(release(&released)).await.unwrap();
    shipping.held().await;

    let both = ListShipmentsRequest { order_id: order_id.clone(), ..in_state(ShipmentState::Held) };

    assert_eq!(shipping.list(both).await.unwrap().shipments, [held]);
    assert_eq!(shipping.list(of_order(&order_id)).await.unwrap().shipments.len(), 2);
}

#[tokio::test]
async fn pages_together_are_the_list_whatever_comes_and_goes_between_them() {
    let shipping = Shipping::start().await;
    let order_id = Uuid::now_v7().to_string();
    let mut before = Vec::new();
    for _ in 0..25 {
        before.push(shipping.create(of(&order_id)).await.unwrap().shipment_id);
    }
    // Some came in one transaction, so their times are equal.
    sqlx::query("UPDATE shipments SET created_at = '2026-01-01' WHERE id = ANY($1)")
        .bind(before[3..9].iter().map(|id| id.parse().unwrap()).collect::<Vec<Uuid>>())
        .execute(shipping.pool())
        .await
        .unwrap();

    for request in [of_order(&order_id), in_state(ShipmentState::Held)] {
        let all = ListShipmentsRequest { page_size: 1000, ..request.clone() };
        let mut whole = ids(&shipping.list(all).await.unwrap().shipments);
        whole.retain(|id| before.contains(id));
        assert_eq!(whole.len(), before.len());
        for page_size in [1, 4, 24, 25, 26, 5000] {
            let (mut listed, mut page_token) = (Vec::new(), String::new());
            loop {
                let next = ListShipmentsRequest { page_size, page_token, ..request.clone() };
                let page = shipping.list(next).await.unwrap();
                assert!(page.shipments.len() <= page_size as usize);
                listed.extend(ids(&page.shipments));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
                // One comes and goes, of this order and in this state; not for ever, or the list
                // would never end.
                if listed.len() < before.len() {
                    let new = shipping.create(of(&order_id)).await.unwrap().shipment_id;
                    shipping.cancel(cancel(&new)).await.unwrap();
                }
            }
            listed.retain(|id| before.contains(id));
            assert_eq!(listed, whole, "in pages of {page_size}");
        }
    }
}

#[tokio::test]
async fn a_token_is_good_for_the_list_that_gave_it_only() {
    let shipping = Shipping::start().await;
    let order_id = Uuid::now_v7().to_string();
    for _ in 0..3 {
        shipping.create(of(&order_id)).await.unwrap();
    }
    let first = ListShipmentsRequest { page_size: 1, ..of_order(&order_id) };
    let page_token = shipping.list(first).await.unwrap().next_page_token;
    let cut = page_token[..page_token.len() - 2].to_owned();

    let with = |page_token: &String, request: ListShipmentsRequest| ListShipmentsRequest {
        page_token: page_token.clone(),
        ..request
    };
    let both = ListShipmentsRequest { order_id: order_id.clone(), ..in_state(ShipmentState::Held) };
    let others = [
        with(&page_token, in_state(ShipmentState::Held)),
        with(&page_token, both),
        with(&page_token, of_order(&Uuid::now_v7().to_string())),
        with(&cut, of_order(&order_id)),
        with(&"x".to_owned(), of_order(&order_id)),
    ];
    for request in others {
        refused(shipping.list(request).await, "page_token", "PAGE_TOKEN_MALFORMED");
    }
    assert!(shipping.list(with(&page_token, of_order(&order_id))).await.is_ok());
}

#[tokio::test]
async fn a_list_that_cannot_be_is_refused_by_field() {
    let shipping = Shipping::start().await;
    let request = ListShipmentsRequest::default;
    let cases = [
        (request(), "order_id", "FILTER_MISSING"),
        (of_order("7"), "order_id", "UUID_MALFORMED"),
        (ListShipmentsRequest { state: 7, ..request() }, "state", "ENUM_UNKNOWN"),
        (ListShipmentsRequest { state: -1, ..request() }, "state", "ENUM_UNKNOWN"),
        (
            ListShipmentsRequest { page_size: -1, ..in_state(ShipmentState::Held) },
            "page_size",
            "PAGE_SIZE_NEGATIVE",
        ),
    ];

    for (request, field, why) in cases {
        refused(shipping.list(request).await, field, why);
    }
}

impl Shipping {
    async fn list(&self, request: ListShipmentsRequest) -> Result<ListShipmentsResponse, Status> {
        Ok(self.client().list_shipments(request).await?.into_inner())
    }
}

fn refused(answer: Result<ListShipmentsResponse, Status>, field: &str, why: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!((fields(&status), reason(&status).as_str()), (vec![field.to_owned()], why));
}

fn of(order_id: &str) -> CreateShipmentRequest {
    CreateShipmentRequest { order_id: order_id.to_owned(), ..create() }
}

fn of_order(order_id: &str) -> ListShipmentsRequest {
    ListShipmentsRequest { order_id: order_id.to_owned(), ..ListShipmentsRequest::default() }
}

fn in_state(state: ShipmentState) -> ListShipmentsRequest {
    ListShipmentsRequest { state: state.into(), ..ListShipmentsRequest::default() }
}

fn ids(shipments: &[Shipment]) -> Vec<String> {
    shipments.iter().map(|shipment| shipment.shipment_id.clone()).collect()
}
