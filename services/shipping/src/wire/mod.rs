//! Protobuf to domain and back. Parsing happens here and nowhere else.

mod answers;

pub use answers::{entry, quote, shipment};

use mesh_log::{
    Meta,
    requests::{Key, digest},
};
use mesh_rpc::{Fields, Invalid, Page, page_token};
use prost_types::Timestamp;
use shop::{
    common::v1 as common,
    shipping::v1::{self as proto, position::Where},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::{Action, Command, Sighting},
    domain::{Address, Country, Parcel, Place, Position, Report, Shipment, Speed, State},
    store::Listed,
};

/// Lines of an address; more than these are not read.
const MOST_LINES: usize = 5;
/// What a parcel weighs if nobody says, and at most.
const USUAL_GRAMS: i32 = 1000;
const MOST_GRAMS: i32 = 30_000;
/// When carriers' clocks may be: the years 2000 to 2099.
const CLOCKS: std::ops::Range<i64> = 946_684_800..4_102_444_800;
/// What a page token of ListShipments is bound to, beside the filters.
const LIST_SHIPMENTS: &str = "shop.shipping.v1.ShippingService/ListShipments";

/// The part of a list that is asked for.
pub struct ShipmentsPage {
    pub listed: Listed,
    pub after: Option<(OffsetDateTime, Uuid)>,
    pub size: usize,
    query: String,
}

pub fn quote_shipping(request: &proto::QuoteShippingRequest) -> Result<(Country, Parcel), Invalid> {
    let mut fields = Fields::default();
    let country = country(&mut fields, "country_code", &request.country_code);
    let parcel = parcel(&mut fields, request.weight_grams, request.speed);
    let quoted = fields.finish(country.zip(parcel))?;
    Ok(quoted.expect("a part is missing only with a violation"))
}

pub fn create_shipment(request: &proto::CreateShipmentRequest) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let shipment_id = fields.uuid("request_id", &request.request_id);
    let order_id = fields.uuid("order_id", &request.order_id);
    let address = address(&mut fields, request.address.as_ref());
    let parcel = parcel(&mut fields, request.weight_grams, request.speed);
    let customer_id = Some(request.customer_id.as_str()).filter(|id| !id.is_empty());
    let customer_id = customer_id.map(|id| fields.uuid("customer_id", id));
    let action = address.zip(parcel);
    let action =
        action.map(|(address, parcel)| Action::Create { order_id, customer_id, address, parcel });
    // An order whose shipment was announced before customers were named repeats the same content.
    let content = proto::CreateShipmentRequest { customer_id: String::new(), ..request.clone() };
    command(fields, shipment_id, digest(&content), action)
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

pub fn list_shipments(request: &proto::ListShipmentsRequest) -> Result<ShipmentsPage, Invalid> {
    let mut fields = Fields::default();
    let order_id = Some(request.order_id.as_str()).filter(|id| !id.is_empty());
    let order_id = order_id.map(|id| fields.uuid("order_id", id));
    let state = known_state(&mut fields, request.state);
    let listed = match (order_id, state) {
        (Some(order_id), state) => Some(Listed::Of { order_id, state }),
        (None, Some(state)) => Some(Listed::In { state }),
        (None, None) => {
            fields.refuse("order_id", "FILTER_MISSING", "must be given unless `state` is");
            None
        }
    };
    let query = format!("{LIST_SHIPMENTS} {} {}", request.order_id, request.state);
    let Page { after, size } = fields.page(&query, request.page_size, &request.page_token);
    let after = after.map(|last| place_in_list(&last));
    if after == Some(None) {
        fields.refuse_page_token();
    }
    let listed = fields.finish(listed)?.expect("a filter is missing only with a violation");
    Ok(ShipmentsPage { listed, after: after.flatten(), size, query })
}

/// The answer to a list, of which `shipments` are one more than were asked for if it goes on.
pub fn shipments_page(
    mut shipments: Vec<Shipment>,
    page: &ShipmentsPage,
) -> proto::ListShipmentsResponse {
    let goes_on = shipments.len() > page.size;
    shipments.truncate(page.size);
    let last = shipments.last().filter(|_| goes_on);
    let token = |last: &Shipment| {
        let microseconds = last.created.unix_timestamp_nanos() / 1000;
        page_token(&page.query, &format!("{microseconds} {}", last.id))
    };
    let next_page_token = last.map(token).unwrap_or_default();
    proto::ListShipmentsResponse {
        shipments: shipments.iter().map(shipment).collect(),
        next_page_token,
    }
}

/// Reads what [`shipments_page`] calls a shipment in a token.
fn place_in_list(last: &str) -> Option<(OffsetDateTime, Uuid)> {
    let (microseconds, id) = last.split_once(' ')?;
    let nanoseconds = microseconds.parse::<i128>().ok()?.checked_mul(1000)?;
    let created = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?;
    Some((created, id.parse().ok()?))
}

/// The shipment that is tracked, and the sequence that the caller knows.
pub fn track_shipment(request: &proto::TrackShipmentRequest) -> Result<(Uuid, i32), Invalid> {
    let mut fields = Fields::default();
    let shipment_id = fields.uuid("shipment_id", &request.shipment_id);
    fields.number("after_sequence", request.after_sequence.into(), 0..=i32::MAX.into());
    fields.finish((shipment_id, request.after_sequence))
}

/// One message of a stream, the one with this number.
pub fn record_positions(
    request: &proto::RecordPositionsRequest,
    message: u64,
) -> Result<Sighting, Invalid> {
    let mut fields = Fields::default();
    let shipment_id = fields.uuid("shipment_id", &request.shipment_id);
    let position = position(&mut fields, request.position.as_ref());
    let digest = digest(request);
    let position = fields.finish(position)?.expect("it is missing only with a violation");
    Ok(Sighting { message, shipment_id, position, digest })
}

fn key(fields: &mut Fields, method: &str, request_id: &str) -> Key {
    let request_id = fields.uuid("request_id", request_id);
    Key::new(&format!("shop.shipping.v1.ShippingService/{method}"), "", request_id)
}

fn address(fields: &mut Fields, address: Option<&common::Address>) -> Option<Address> {
    let Some(address) = address else {
        fields.refuse("address", "FIELD_MISSING", "must be given");
        return None;
    };
    let readable = fields.count("address.lines", address.lines.len(), 1..=MOST_LINES);
    let lines = (address.lines.iter().take(readable).enumerate())
        .map(|(n, line)| fields.text(&format!("address.lines[{n}]"), line, 1..=200))
        .collect();
    let recipient = fields.text("address.recipient", &address.recipient, 1..=200);
    let city = fields.text("address.city", &address.city, 1..=100);
    let postal_code = fields.text("address.postal_code", &address.postal_code, 0..=20);
    let country = country(fields, "address.country_code", &address.country_code)?;
    Some(Address { recipient, lines, city, postal_code, country })
}

fn country(fields: &mut Fields, field: &str, code: &str) -> Option<Country> {
    let country = Country::parse(code);
    if country.is_none() {
        let wrong = "must be two upper-case letters of ISO 3166-1";
        fields.refuse(field, "COUNTRY_CODE_MALFORMED", wrong);
    }
    country
}

fn parcel(fields: &mut Fields, weight_grams: i32, speed: i32) -> Option<Parcel> {
    let grams = if weight_grams == 0 { USUAL_GRAMS } else { weight_grams };
    fields.number("weight_grams", grams.into(), 1..=MOST_GRAMS.into());
    let speed = match proto::ShippingSpeed::try_from(speed) {
        Ok(proto::ShippingSpeed::Unspecified | proto::ShippingSpeed::Standard) => Speed::Standard,
        Ok(proto::ShippingSpeed::Express) => Speed::Express,
        Err(_) => {
            fields.refuse("speed", "ENUM_UNKNOWN", "must be STANDARD or EXPRESS");
            return None;
        }
    };
    Some(Parcel { speed, grams })
}

fn position(fields: &mut Fields, position: Option<&proto::Position>) -> Option<Position> {
    let Some(position) = position else {
        fields.refuse("position", "FIELD_MISSING", "must be given");
        return None;
    };
    let id = fields.uuid("position.position_id", &position.position_id);
    let time = time(fields, "position.time", position.time.as_ref());
    let place = match &position.r#where {
        Some(Where::Coordinates(point)) => {
            degrees(fields, "position.coordinates.latitude", point.latitude, 90.0);
            degrees(fields, "position.coordinates.longitude", point.longitude, 180.0);
            let (latitude, longitude) = (point.latitude, point.longitude);
            Some(Place::Coordinates { latitude, longitude })
        }
        Some(Where::Place(name)) => {
            Some(Place::Named(fields.text("position.place", name, 1..=200)))
        }
        None => {
            let wrong = "must be given unless `position.place` is";
            fields.refuse("position.coordinates", "FIELD_MISSING", wrong);
            None
        }
    };
    let (time, place) = time.zip(place)?;
    Some(Position { id, time, place })
}

fn degrees(fields: &mut Fields, field: &str, value: f64, most: f64) {
    // Neither infinity nor what is no number lies in between.
    if !(-most..=most).contains(&value) {
        fields.refuse(field, "NUMBER_OUT_OF_RANGE", format!("must be -{most} to {most}"));
    }
}

fn time(fields: &mut Fields, field: &str, time: Option<&Timestamp>) -> Option<OffsetDateTime> {
    let Some(time) = time else {
        fields.refuse(field, "FIELD_MISSING", "must be given");
        return None;
    };
    let seconds = Some(time.seconds).filter(|seconds| CLOCKS.contains(seconds));
    let moment = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let nanos = u32::try_from(time.nanos).ok();
    let moment = nanos.and_then(|nanos| moment?.replace_nanosecond(nanos).ok());
    if moment.is_none() {
        fields.refuse(field, "TIME_OUT_OF_RANGE", "must be a time in the years 2000 to 2099");
    }
    moment
}

/// The state that a list is filtered by; `None` if it is not.
fn known_state(fields: &mut Fields, state: i32) -> Option<State> {
    Some(match proto::ShipmentState::try_from(state) {
        Ok(proto::ShipmentState::Unspecified) => return None,
        Ok(proto::ShipmentState::Held) => State::Held,
        Ok(proto::ShipmentState::Released) => State::Released,
        Ok(proto::ShipmentState::Dispatched) => State::Dispatched,
        Ok(proto::ShipmentState::Delivered) => State::Delivered,
        Ok(proto::ShipmentState::Lost) => State::Lost,
        Ok(proto::ShipmentState::Cancelled) => State::Cancelled,
        Err(_) => {
            fields.refuse("state", "ENUM_UNKNOWN", "must be a state of a shipment");
            // Any state: the list is refused anyhow.
            State::Held
        }
    })
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
        ) => {
            fields.refuse("state", "STATE_NOT_REPORTABLE", "must be DISPATCHED, DELIVERED or LOST");
            None
        }
        Err(_) => {
            fields.refuse("state", "ENUM_UNKNOWN", "must be DISPATCHED, DELIVERED or LOST");
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
