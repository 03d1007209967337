//! Domain to protobuf.

use prost_types::Timestamp;
use shop::{
    money,
    shipping::v1::{self as proto, position::Where, tracking_entry::What as ProtoWhat},
};
use time::OffsetDateTime;

use crate::domain::{
    Entry, Estimate, Place, Position, Shipment, Speed, State, Terms, What, tracking_number,
};

pub fn quote(terms: &Terms, estimated: Estimate) -> proto::QuoteShippingResponse {
    proto::QuoteShippingResponse {
        price: Some(money::to_wire(terms.price)),
        estimate: Some(estimate(estimated)),
        speed: speed(terms.parcel.speed).into(),
        weight_grams: terms.parcel.grams,
    }
}

pub fn shipment(shipment: &Shipment) -> proto::Shipment {
    // A mark is no parcel, so it has no label.
    let number = shipment.order_id.map(|_| tracking_number(shipment.id));
    let terms = shipment.terms.as_ref();
    proto::Shipment {
        shipment_id: shipment.id.to_string(),
        order_id: shipment.order_id.map(|id| id.to_string()).unwrap_or_default(),
        state: state(shipment.state).into(),
        version: shipment.version,
        create_time: Some(timestamp(shipment.created)),
        update_time: Some(timestamp(shipment.updated())),
        tracking_number: number.unwrap_or_default(),
        speed: terms.map(|terms| speed(terms.parcel.speed).into()).unwrap_or_default(),
        weight_grams: terms.map(|terms| terms.parcel.grams).unwrap_or_default(),
        price: terms.map(|terms| money::to_wire(terms.price)),
        estimate: shipment.estimate().map(estimate),
    }
}

pub fn entry(entry: &Entry) -> proto::TrackingEntry {
    let (time, what, estimated) = match &entry.what {
        What::State(shipment) => {
            let what = ProtoWhat::State(state(shipment.state).into());
            (shipment.updated(), what, shipment.estimate())
        }
        What::Position(position) => {
            (position.time, ProtoWhat::Position(to_position(position)), None)
        }
    };
    proto::TrackingEntry {
        sequence: entry.sequence,
        time: Some(timestamp(time)),
        estimate: estimated.map(estimate),
        what: Some(what),
    }
}

fn to_position(position: &Position) -> proto::Position {
    let place = match &position.place {
        Place::Coordinates { latitude, longitude } => {
            let (latitude, longitude) = (*latitude, *longitude);
            Where::Coordinates(proto::Coordinates { latitude, longitude })
        }
        Place::Named(name) => Where::Place(name.clone()),
    };
    proto::Position {
        position_id: position.id.to_string(),
        time: Some(timestamp(position.time)),
        r#where: Some(place),
    }
}

fn estimate(estimate: Estimate) -> proto::DeliveryEstimate {
    proto::DeliveryEstimate {
        earliest_days: estimate.earliest_days.into(),
        latest_days: estimate.latest_days.into(),
        earliest_date: estimate.earliest.to_string(),
        latest_date: estimate.latest.to_string(),
    }
}

fn speed(speed: Speed) -> proto::ShippingSpeed {
    match speed {
        Speed::Standard => proto::ShippingSpeed::Standard,
        Speed::Express => proto::ShippingSpeed::Express,
    }
}

fn state(state: State) -> proto::ShipmentState {
    match state {
        State::Held => proto::ShipmentState::Held,
        State::Released => proto::ShipmentState::Released,
        State::Dispatched => proto::ShipmentState::Dispatched,
        State::Delivered => proto::ShipmentState::Delivered,
        State::Lost => proto::ShipmentState::Lost,
        State::Cancelled => proto::ShipmentState::Cancelled,
    }
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    let nanos = i32::try_from(time.nanosecond()).expect("less than a billion");
    Timestamp { seconds: time.unix_timestamp(), nanos }
}
