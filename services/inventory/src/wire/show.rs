//! Shows what the domain has.

use shop::inventory::v1 as proto;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{
    AdjustmentReason, Bucket, Line, Recorded, Reservation, State, Stock, Threshold,
};

pub(crate) fn stock(stock: &Stock) -> proto::Stock {
    proto::Stock {
        sku: stock.sku.to_string(),
        on_hand: stock.on_hand,
        reserved: stock.reserved,
        committed: stock.committed,
        shipped: stock.shipped,
        lost: stock.lost,
        received: stock.received(),
        low_stock_threshold: stock.threshold,
        etag: etag(stock.threshold_version),
    }
}

pub(crate) fn reservation(reservation: &Reservation) -> proto::Reservation {
    let origin = reservation.origin.as_ref();
    proto::Reservation {
        reservation_id: reservation.id.to_string(),
        order_id: origin.map(|origin| origin.order_id.to_string()).unwrap_or_default(),
        state: state(reservation.state()).into(),
        lines: lines(&reservation.lines),
        expire_time: origin.map(|origin| timestamp(origin.expires_at)),
        create_time: Some(timestamp(reservation.created_at)),
        version: reservation.version(),
    }
}

pub(crate) fn lines(lines: &[Line]) -> Vec<proto::ReservationLine> {
    let line =
        |line: &Line| proto::ReservationLine { sku: line.sku.to_string(), quantity: line.quantity };
    lines.iter().map(line).collect()
}

fn state(state: State) -> proto::ReservationState {
    match state {
        State::Reserved => proto::ReservationState::Reserved,
        State::Expired => proto::ReservationState::Expired,
        State::Committed => proto::ReservationState::Committed,
        State::Released => proto::ReservationState::Released,
        State::Restocked => proto::ReservationState::Restocked,
        State::Shipped => proto::ReservationState::Shipped,
        State::Lost => proto::ReservationState::Lost,
    }
}

pub(crate) fn threshold(set: &Threshold) -> proto::SetLowStockThresholdResponse {
    proto::SetLowStockThresholdResponse {
        sku: set.sku.to_string(),
        low_stock_threshold: set.threshold,
        etag: etag(set.version),
    }
}

fn etag(version: i32) -> String {
    version.to_string()
}

pub(super) fn movement(movement: &Recorded) -> proto::StockMovement {
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let adjustment = movement.adjustment.as_ref();
    let why = adjustment.map(|(_, why, _)| reason(*why)).unwrap_or_default();
    proto::StockMovement {
        movement_id: movement.id,
        sku: movement.sku.to_string(),
        from: place(movement.from).into(),
        to: place(movement.to).into(),
        quantity: movement.quantity,
        create_time: Some(timestamp(movement.at)),
        reservation_id: id(movement.reservation),
        order_id: id(movement.order_id),
        delivery_id: id(movement.delivery),
        adjustment_id: id(adjustment.map(|(id, ..)| *id)),
        reason: why.into(),
        note: adjustment.map(|(.., note)| note.clone()).unwrap_or_default(),
    }
}

fn place(bucket: Bucket) -> proto::StockPlace {
    match bucket {
        Bucket::Supplier => proto::StockPlace::Supplier,
        Bucket::OnHand => proto::StockPlace::OnHand,
        Bucket::Reserved => proto::StockPlace::Reserved,
        Bucket::Committed => proto::StockPlace::Committed,
        Bucket::Shipped => proto::StockPlace::Shipped,
        Bucket::Lost => proto::StockPlace::Lost,
    }
}

pub(crate) fn reason(reason: AdjustmentReason) -> proto::AdjustmentReason {
    match reason {
        AdjustmentReason::Counted => proto::AdjustmentReason::Counted,
        AdjustmentReason::Damaged => proto::AdjustmentReason::Damaged,
        AdjustmentReason::Found => proto::AdjustmentReason::Found,
        AdjustmentReason::ReturnedToSupplier => proto::AdjustmentReason::ReturnedToSupplier,
    }
}

fn timestamp(time: OffsetDateTime) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.nanosecond()).expect("a second has a billion of them");
    prost_types::Timestamp { seconds: time.unix_timestamp(), nanos }
}
