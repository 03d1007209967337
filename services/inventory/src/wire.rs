//! Protobuf in, domain out, and back. Parsing happens here and nowhere else.

use mesh_log::requests::{self, Key};
use mesh_rpc::{Fields, Invalid};
use prost::Message;
use shop::inventory::v1 as proto;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    app::Guard,
    domain::{
        Change, Command, Line, Lines, LinesError, MAX_LINES, MAX_QUANTITY, Reservation, Sku, State,
        Stock,
    },
};

/// How long pieces are held if the caller does not say.
const DEFAULT_HOLD: Duration = Duration::minutes(10);

/// A request to change one reservation: all such messages have these fields.
pub(crate) trait ChangeRequest: Message {
    const METHOD: &'static str;
    const CHANGE: Change;

    fn request_id(&self) -> &str;
    fn reservation_id(&self) -> &str;
}

macro_rules! change_request {
    ($message:ident, $method:literal, $change:expr) => {
        impl ChangeRequest for proto::$message {
            const METHOD: &'static str = concat!("shop.inventory.v1.InventoryService/", $method);
            const CHANGE: Change = $change;

            fn request_id(&self) -> &str {
                &self.request_id
            }
            fn reservation_id(&self) -> &str {
                &self.reservation_id
            }
        }
    };
}
change_request!(CommitReservationRequest, "CommitReservation", Change::Commit);
change_request!(ReleaseReservationRequest, "ReleaseReservation", Change::Release);
change_request!(ShipReservationRequest, "ShipReservation", Change::Ship);
change_request!(RestockReservationRequest, "RestockReservation", Change::Restock);

pub(crate) fn change<R: ChangeRequest>(request: &R) -> Result<(Command, Guard), Invalid> {
    let mut fields = Fields::default();
    let request_id = fields.uuid("request_id", request.request_id());
    let reservation = fields.uuid("reservation_id", request.reservation_id());
    let key = Key::new(R::METHOD, "", request_id);
    let guard = Guard::Request { key, digest: requests::digest(request) };
    fields.finish((Command::Change { reservation, change: R::CHANGE }, guard))
}

pub(crate) fn receive_stock(request: &proto::ReceiveStockRequest) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("request_id", &request.request_id);
    let sku = sku(&mut fields, "sku", &request.sku);
    let quantity = fields.number("quantity", request.quantity, 1..=MAX_QUANTITY);
    let digest = requests::digest(request);
    finish(fields, sku.map(|sku| Command::Receive { id, digest, sku, quantity }))
}

pub(crate) fn reserve_stock(request: &proto::ReserveStockRequest) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("request_id", &request.request_id);
    let order_id = fields.uuid("order_id", &request.order_id);
    let lines = lines_in(&mut fields, &request.lines);
    let hold = hold(&mut fields, request.hold.as_ref());
    let digest = requests::digest(request);
    finish(fields, lines.map(|lines| Command::Reserve { id, digest, order_id, lines, hold }))
}

pub(crate) fn get_stock(request: &proto::GetStockRequest) -> Result<Sku, Invalid> {
    let mut fields = Fields::default();
    let sku = sku(&mut fields, "sku", &request.sku);
    finish(fields, sku)
}

pub(crate) fn get_reservation(request: &proto::GetReservationRequest) -> Result<Uuid, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("reservation_id", &request.reservation_id);
    fields.finish(id)
}

fn finish<T>(fields: Fields, value: Option<T>) -> Result<T, Invalid> {
    fields.finish(()).map(|()| value.expect("a field that was not refused has a value"))
}

fn sku(fields: &mut Fields, field: &str, text: &str) -> Option<Sku> {
    let sku = Sku::parse(text);
    if sku.is_none() {
        fields.refuse(field, "SKU_MALFORMED", "has 1 to 40 of A-Z, 0-9 and '-'");
    }
    sku
}

fn lines_in(fields: &mut Fields, lines: &[proto::ReservationLine]) -> Option<Lines> {
    // Counted first: ten thousand lines are one violation.
    if fields.count("lines", lines.len(), 1..=MAX_LINES) < lines.len() {
        return None;
    }
    let mut parsed = Vec::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        let sku = sku(fields, &format!("lines[{i}].sku"), &line.sku)?;
        let place = format!("lines[{i}].quantity");
        let quantity = fields.number(&place, line.quantity, 1..=MAX_QUANTITY);
        parsed.push(Line { sku, quantity });
    }
    let lines = Lines::new(parsed);
    if let Err(LinesError::Repeated { line }) = lines {
        let place = format!("lines[{line}].sku");
        fields.refuse(&place, "SKU_REPEATED", "is not the SKU of an earlier line");
    }
    lines.ok()
}

fn hold(fields: &mut Fields, hold: Option<&prost_types::Duration>) -> Duration {
    let Some(hold) = hold else { return DEFAULT_HOLD };
    let allowed = |hold: &Duration| (Duration::SECOND..=Duration::DAY).contains(hold);
    let parsed = std::time::Duration::try_from(*hold).ok();
    match parsed.and_then(|hold| Duration::try_from(hold).ok()).filter(allowed) {
        // The database keeps no more than microseconds.
        Some(hold) => hold - Duration::nanoseconds((hold.subsec_nanoseconds() % 1000).into()),
        None => {
            fields.refuse("hold", "HOLD_OUT_OF_RANGE", "is 1 second to 1 day");
            DEFAULT_HOLD
        }
    }
}

pub(crate) fn stock(stock: &Stock) -> proto::Stock {
    proto::Stock {
        sku: stock.sku.to_string(),
        on_hand: stock.on_hand,
        reserved: stock.reserved,
        committed: stock.committed,
        shipped: stock.shipped,
        lost: stock.lost,
        received: stock.received(),
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

fn timestamp(time: OffsetDateTime) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.nanosecond()).expect("a second has a billion of them");
    prost_types::Timestamp { seconds: time.unix_timestamp(), nanos }
}
