//! Protobuf to domain and back. Parsing happens here and nowhere else.

use mesh_log::{
    Meta,
    requests::{Key, digest},
};
use mesh_rpc::{Fields, Invalid};
use prost_types::Timestamp;
use shop::{common::v1 as common, shipping::v1 as proto};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::{Action, Command},
    domain::{Address, Country, Report, Shipment, State},
};

/// Lines of an address; more than these are not read.
const MOST_LINES: usize = 5;

pub fn create_shipment(request: &proto::CreateShipmentRequest) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let shipment_id = fields.uuid("request_id", &request.request_id);
    let order_id = fields.uuid("order_id", &request.order_id);
    let address = address(&mut fields, request.address.as_ref());
    let action = address.map(|address| Action::Create { order_id, address });
    command(fields, shipment_id, digest(request), action)
}

pub fn release_shipment(request: &proto::ReleaseShipmentRequest) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let key = key(&mut fields, "ReleaseShipment", &request.request_id);
    let shipment_id = fields.uuid("shipment_id", &request.shipment_id);
    command(fields, shipment_id, digest(request), Some(Action::Release { key }))
}

pub fn cancel_shipment(request: &proto::CancelShipmentRequest) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let key = key(&mut fields, "CancelShipment", &request.request_id);
    let shipment_id = fields.uuid("shipment_id", &request.shipment_id);
    command(fields, shipment_id, digest(request), Some(Action::Cancel { key }))
}

pub fn record_carrier_update(
    request: &proto::RecordCarrierUpdateRequest,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let key = key(&mut fields, "RecordCarrierUpdate", &request.request_id);
    let shipment_id = fields.uuid("shipment_id", &request.shipment_id);
    let report = report(&mut fields, request.state);
    command(
        fields,
        shipment_id,
        digest(request),
        report.map(|report| Action::Report { key, report }),
    )
}

pub fn get_shipment(request: &proto::GetShipmentRequest) -> Result<Uuid, Invalid> {
    let mut fields = Fields::default();
    let shipment_id = fields.uuid("shipment_id", &request.shipment_id);
    fields.finish(shipment_id)
}

pub fn shipment(shipment: &Shipment) -> proto::Shipment {
    proto::Shipment {
        shipment_id: shipment.id.to_string(),
        order_id: shipment.order_id.map(|id| id.to_string()).unwrap_or_default(),
        state: state(shipment.state).into(),
        version: shipment.version,
        create_time: Some(timestamp(shipment.created)),
        update_time: Some(timestamp(shipment.updated())),
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

fn key(fields: &mut Fields, method: &str, request_id: &str) -> Key {
    let request_id = fields.uuid("request_id", request_id);
    Key::new(&format!("shop.shipping.v1.ShippingService/{method}"), "", request_id)
}

fn address(fields: &mut Fields, address: Option<&common::Address>) -> Option<Address> {
    let Some(address) = address else {
        fields.refuse("address", "FIELD_MISSING", "is required");
        return None;
    };
    let readable = fields.count("address.lines", address.lines.len(), 1..=MOST_LINES);
    let lines = (address.lines.iter().take(readable).enumerate())
        .map(|(n, line)| fields.text(&format!("address.lines[{n}]"), line, 1..=200))
        .collect();
    let recipient = fields.text("address.recipient", &address.recipient, 1..=200);
    let city = fields.text("address.city", &address.city, 1..=100);
    let postal_code = fields.text("address.postal_code", &address.postal_code, 0..=20);
    let Some(country) = Country::parse(&address.country_code) else {
        let wrong = "is two upper-case letters of ISO 3166-1";
        fields.refuse("address.country_code", "COUNTRY_CODE_MALFORMED", wrong);
        return None;
    };
    Some(Address { recipient, lines, city, postal_code, country })
}

fn report(fields: &mut Fields, state: i32) -> Option<Report> {
    match proto::ShipmentState::try_from(state) {
        Ok(proto::ShipmentState::Dispatched) => Some(Report::Dispatched),
        Ok(proto::ShipmentState::Delivered) => Some(Report::Delivered),
        Ok(proto::ShipmentState::Lost) => Some(Report::Lost),
        Ok(
            proto::ShipmentState::Unspecified
            | proto::ShipmentState::Held
            | proto::ShipmentState::Released
            | proto::ShipmentState::Cancelled,
        )
        | Err(_) => {
            fields.refuse("state", "STATE_NOT_REPORTABLE", "is DISPATCHED, DELIVERED or LOST");
            None
        }
    }
}

fn command(
    fields: Fields,
    shipment_id: Uuid,
    digest: [u8; 16],
    action: Option<Action>,
) -> Result<Command, Invalid> {
    let action = fields.finish(action)?.expect("an action is missing only with a violation");
    Ok(Command { shipment_id, digest, action, meta: Meta::current() })
}
