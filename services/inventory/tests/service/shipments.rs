//! What carriers do moves the pieces, once, however often it is told.

use async_nats::HeaderMap;
use mesh_events::{Nats, ensure_stream};
use mesh_testkit::{eventually, isolated_nats};
use prost::{Message, Name};
use shop::{
    inventory::v1::ReservationState,
    shipping::v1::{ShipmentDispatched, ShipmentLost},
};
use uuid::Uuid;

use crate::inventory::{Inventory, order};

#[tokio::test]
async fn a_parcel_takes_its_pieces_along_and_loses_them_once() {
    let broker = isolated_nats().await;
    let carrier = Carrier::new(&broker.url()).await;
    let inventory = Inventory::with_broker(&broker.url()).await;
    inventory.receive("MUG", 5).await;
    let reservation = inventory.reserve(order(&[("MUG", 2)])).await.unwrap();
    let (id, order_id) = (reservation.reservation_id, reservation.order_id);
    inventory.commit(&id).await.unwrap();
    let shipment_id = Uuid::now_v7();

    let sent =
        ShipmentDispatched { shipment_id: shipment_id.to_string(), order_id: order_id.clone() };
    let dispatched = carrier.tell(shipment_id, 3, &sent).await;
    in_state(&inventory, &id, ReservationState::Shipped).await;
    let lost = ShipmentLost { shipment_id: shipment_id.to_string(), order_id };
    carrier.tell(shipment_id, 4, &lost).await;
    in_state(&inventory, &id, ReservationState::Lost).await;
    carrier.tell_again(dispatched, shipment_id, 3, &sent).await;
    let last = carrier.one_more_order(&inventory).await;
    in_state(&inventory, &last, ReservationState::Shipped).await;

    let stock = inventory.stock("MUG").await;
    assert_eq!((stock.on_hand, stock.shipped, stock.lost), (2, 1, 2));
    let told = ["StockReserved", "StockCommitted", "StockShipped", "StockWrittenOff"];
    assert_eq!(inventory.told(&id).await, told);
    inventory.end().await;
}

#[tokio::test]
async fn a_parcel_whose_pieces_were_not_sold_becomes_a_dead_letter() {
    let broker = isolated_nats().await;
    let carrier = Carrier::new(&broker.url()).await;
    let inventory = Inventory::with_broker(&broker.url()).await;
    inventory.receive("MUG", 5).await;
    let reservation = inventory.reserve(order(&[("MUG", 2)])).await.unwrap();
    let shipment_id = Uuid::now_v7();

    let order_id = reservation.order_id.clone();
    let sent = ShipmentDispatched { shipment_id: shipment_id.to_string(), order_id };
    carrier.tell(shipment_id, 3, &sent).await;

    eventually("the event is a dead letter", async || {
        let dead = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM dead_letters");
        dead.fetch_one(&inventory.pool).await.unwrap() == 1
    })
    .await;
    assert_eq!(inventory.stock("MUG").await.reserved, 2, "nothing moved");
    let last = carrier.one_more_order(&inventory).await;
    in_state(&inventory, &last, ReservationState::Shipped).await;
    inventory.end().await;
}

#[tokio::test]
async fn an_event_of_an_unknown_type_becomes_a_dead_letter_and_the_next_one_is_applied() {
    let broker = isolated_nats().await;
    let carrier = Carrier::new(&broker.url()).await;
    let inventory = Inventory::with_broker(&broker.url()).await;
    inventory.receive("MUG", 5).await;
    let reservation = inventory.reserve(order(&[("MUG", 2)])).await.unwrap();
    inventory.commit(&reservation.reservation_id).await.unwrap();
    let shipment_id = Uuid::now_v7();

    let order_id = reservation.order_id.clone();
    let sent = ShipmentDispatched { shipment_id: shipment_id.to_string(), order_id };
    let kind = "shop.shipping.v9.ShipmentTeleported";
    let id = carrier.tell_as(kind, shipment_id, 3, &sent).await;

    let (reason, error) = eventually("the event is a dead letter", async || {
        let dead = "SELECT reason, error FROM dead_letters WHERE event_id = $1";
        let dead = sqlx::query_as::<_, (String, String)>(dead).bind(id);
        dead.fetch_optional(&inventory.pool).await.unwrap()
    })
    .await;
    assert_eq!(reason, "undecodable");
    assert!(error.contains(kind), "{error}");
    assert_eq!(inventory.stock("MUG").await.committed, 2, "nothing moved");
    let last = carrier.one_more_order(&inventory).await;
    in_state(&inventory, &last, ReservationState::Shipped).await;
    inventory.end().await;
}

async fn in_state(inventory: &Inventory, id: &str, state: ReservationState) {
    eventually(state.as_str_name(), async || inventory.reservation(id).await.state() == state)
        .await;
}

/// Stands for the shipping service.
struct Carrier {
    nats: Nats,
}

impl Carrier {
    async fn new(url: &str) -> Self {
        let nats = Nats::open(url, "shipping").await.unwrap();
        nats.connected().await;
        ensure_stream(&nats, "shipping", &["shop.shipping.v1.>"], 1).await.unwrap();
        ensure_stream(&nats, "inventory", &["shop.inventory.v1.>"], 1).await.unwrap();
        Self { nats }
    }

    async fn tell<M: Message + Name>(&self, key: Uuid, version: i32, event: &M) -> Uuid {
        let id = Uuid::now_v7();
        self.tell_again(id, key, version, event).await;
        id
    }

    /// Under the event's own subject, with another type.
    async fn tell_as<M: Message + Name>(
        &self,
        kind: &str,
        key: Uuid,
        version: i32,
        event: &M,
    ) -> Uuid {
        let id = Uuid::now_v7();
        let headers = headers(kind, id, key, version);
        self.publish(headers, event).await;
        id
    }

    async fn tell_again<M: Message + Name>(&self, id: Uuid, key: Uuid, version: i32, event: &M) {
        self.publish(headers(&M::full_name(), id, key, version), event).await;
    }

    async fn publish<M: Message + Name>(&self, headers: HeaderMap, event: &M) {
        let body = event.encode_to_vec().into();
        let publish = self.nats.jetstream().publish_with_headers(M::full_name(), headers, body);
        publish.await.unwrap().await.unwrap();
    }

    /// Sells one more piece and hands it over; returns the reservation. The stream is worked in
    /// order, so what came before has been seen once this has.
    async fn one_more_order(&self, inventory: &Inventory) -> String {
        let reservation = inventory.reserve(order(&[("MUG", 1)])).await.unwrap();
        inventory.commit(&reservation.reservation_id).await.unwrap();
        let (shipment_id, order_id) = (Uuid::now_v7(), reservation.order_id);
        let sent = ShipmentDispatched { shipment_id: shipment_id.to_string(), order_id };
        self.tell(shipment_id, 3, &sent).await;
        reservation.reservation_id
    }
}

/// Without a message id: the broker forwards what it would know for a duplicate.
fn headers(kind: &str, id: Uuid, key: Uuid, version: i32) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", id.to_string());
    headers.insert("ce-type", kind);
    headers.insert("ce-source", "/shipping");
    headers.insert("ce-subject", key.to_string());
    headers.insert("ce-sequence", version.to_string());
    headers.insert("ce-time", now());
    headers.insert("datacontenttype", "application/protobuf");
    headers
}

fn now() -> String {
    let format = time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::now_utc().format(&format).unwrap()
}
