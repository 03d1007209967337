//! Reads requests about single things.

use mesh_log::requests::{self, Key};
use mesh_rpc::{Fields, Invalid};
use prost::Message;
use shop::inventory::v1 as proto;
use time::Duration;
use uuid::Uuid;

use crate::{
    app::Guard,
    domain::{
        Adjust, AdjustmentReason, Change, Command, Line, Lines, LinesError, MAX_LINES,
        MAX_QUANTITY, MAX_THRESHOLD, Sku,
    },
};

/// How long pieces are held if the caller does not say.
const DEFAULT_HOLD: Duration = Duration::minutes(10);

/// How long a note may be.
const LONGEST_NOTE: usize = 500;

/// What the key of a SetLowStockThreshold is bound to.
const SET_THRESHOLD: &str = "shop.inventory.v1.InventoryService/SetLowStockThreshold";

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

pub(crate) fn adjust_stock(request: &proto::AdjustStockRequest) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("request_id", &request.request_id);
    let sku = sku(&mut fields, "sku", &request.sku);
    let reason = reason(&mut fields, request.reason);
    let range = reason.unwrap_or(AdjustmentReason::Counted).range();
    let quantity = fields.number("quantity", request.quantity, range);
    if quantity == 0 && reason == Some(AdjustmentReason::Counted) {
        fields.refuse("quantity", "NUMBER_OUT_OF_RANGE", "must not be 0");
    }
    let note = fields.text("note", &request.note, 0..=LONGEST_NOTE);
    let digest = requests::digest(request);
    let read = sku.zip(reason);
    let adjust = |(sku, reason)| Adjust { id, digest, sku, quantity, reason, note };
    finish(fields, read.map(adjust)).map(Command::Adjust)
}

fn reason(fields: &mut Fields, number: i32) -> Option<AdjustmentReason> {
    use proto::AdjustmentReason::{Counted, Damaged, Found, ReturnedToSupplier, Unspecified};
    match proto::AdjustmentReason::try_from(number) {
        Ok(Counted) => Some(AdjustmentReason::Counted),
        Ok(Damaged) => Some(AdjustmentReason::Damaged),
        Ok(Found) => Some(AdjustmentReason::Found),
        Ok(ReturnedToSupplier) => Some(AdjustmentReason::ReturnedToSupplier),
        Ok(Unspecified) | Err(_) => {
            fields.refuse(
                "reason",
                "ENUM_UNKNOWN",
                "must be one of the reasons but the unspecified",
            );
            None
        }
    }
}

pub(crate) fn set_low_stock_threshold(
    request: &proto::SetLowStockThresholdRequest,
) -> Result<(Command, Guard), Invalid> {
    let mut fields = Fields::default();
    let request_id = fields.uuid("request_id", &request.request_id);
    let sku = sku(&mut fields, "sku", &request.sku);
    let range = 0..=MAX_THRESHOLD;
    let threshold = fields.number("low_stock_threshold", request.low_stock_threshold, range);
    let expected = etag(&mut fields, &request.etag);
    let guard = Guard::Request {
        key: Key::new(SET_THRESHOLD, "", request_id),
        digest: requests::digest(request),
    };
    let set = |sku| (Command::SetThreshold { sku, threshold, expected }, guard);
    finish(fields, sku.map(set))
}

/// An etag is a version in decimal; callers need not know. None if the caller does not care.
fn etag(fields: &mut Fields, text: &str) -> Option<i32> {
    if text.is_empty() {
        return None;
    }
    let version = text.parse().ok().filter(|version| *version >= 0);
    if version.is_none() {
        fields.refuse("etag", "ETAG_MALFORMED", "must be an etag that this service gave, or empty");
    }
    version
}

pub(crate) fn reserve_stock(request: &proto::ReserveStockRequest) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("request_id", &request.request_id);
    let order_id = fields.uuid("order_id", &request.order_id);
    let lines = lines_in(&mut fields, &request.lines);
    let hold = hold(&mut fields, request.hold.as_ref());
    let digest = requests::digest(&what_is_reserved(request));
    finish(fields, lines.map(|lines| Command::Reserve { id, digest, order_id, lines, hold }))
}

/// A request without how long its pieces are held: a caller whose settings have changed since asks for
/// the same reservation.
fn what_is_reserved(request: &proto::ReserveStockRequest) -> proto::ReserveStockRequest {
    proto::ReserveStockRequest { hold: None, ..request.clone() }
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

pub(super) fn finish<T>(fields: Fields, value: Option<T>) -> Result<T, Invalid> {
    fields.finish(()).map(|()| value.expect("a field that was not refused has a value"))
}

pub(super) fn sku(fields: &mut Fields, field: &str, text: &str) -> Option<Sku> {
    let sku = Sku::parse(text);
    if sku.is_none() {
        fields.refuse(field, "SKU_MALFORMED", "must be 1 to 40 of A-Z, 0-9 and '-'");
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
        let sku = sku(fields, &format!("lines[{i}].sku"), &line.sku);
        let place = format!("lines[{i}].quantity");
        let quantity = fields.number(&place, line.quantity, 1..=MAX_QUANTITY);
        parsed.push(sku.map(|sku| Line { sku, quantity }));
    }
    let parsed = parsed.into_iter().collect::<Option<Vec<_>>>()?;
    let lines = Lines::new(parsed);
    if let Err(LinesError::Repeated { line }) = lines {
        let place = format!("lines[{line}].sku");
        fields.refuse(&place, "SKU_REPEATED", "must not be the SKU of an earlier line");
    }
    lines.ok()
}

fn hold(fields: &mut Fields, hold: Option<&prost_types::Duration>) -> Duration {
    let Some(hold) = hold else { return DEFAULT_HOLD };
    let allowed = |hold: &Duration| (Duration::SECOND..=Duration::DAY).contains(hold);
    // Converting normalises, and does not survive every number.
    let is_plain = hold.seconds >= 0 && (0..1_000_000_000).contains(&hold.nanos);
    let parsed = is_plain.then(|| std::time::Duration::try_from(*hold).ok()).flatten();
    match parsed.and_then(|hold| Duration::try_from(hold).ok()).filter(allowed) {
        // The database keeps no more than microseconds.
        Some(hold) => hold - Duration::nanoseconds((hold.subsec_nanoseconds() % 1000).into()),
        None => {
            fields.refuse("hold", "HOLD_OUT_OF_RANGE", "must be 1 second to 1 day");
            DEFAULT_HOLD
        }
    }
}
