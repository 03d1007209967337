//! Requests that mean nothing are refused by field, and leave no row.

use shop::shipping::v1::{CreateShipmentRequest, ShipmentState};
use tonic::{Code, Status};

use crate::support::{Shipping, address, cancel, create, fields, reason, release, report};

#[tokio::test]
async fn an_announcement_is_refused_by_the_name_of_its_field() {
    let shipping = Shipping::start().await;
    let long = |length| "é".repeat(length);
    let cases: Vec<(CreateShipmentRequest, &str, &str)> = vec![
        (with(|r| r.request_id.clear()), "request_id", "UUID_MALFORMED"),
        (with(|r| r.request_id = "{0}".into()), "request_id", "UUID_MALFORMED"),
        (with(|r| r.request_id = "0".repeat(32)), "request_id", "UUID_MALFORMED"),
        (with(|r| r.order_id = "7".into()), "order_id", "UUID_MALFORMED"),
        (with(|r| r.address = None), "address", "FIELD_MISSING"),
        (to(|a| a.recipient.clear()), "address.recipient", TEXT_LENGTH),
        (to(|a| a.recipient = long(201)), "address.recipient", TEXT_LENGTH),
        (to(|a| a.recipient = "Ada\0".into()), "address.recipient", "TEXT_MALFORMED"),
        (to(|a| a.lines.clear()), "address.lines", "COUNT_OUT_OF_RANGE"),
        (to(|a| a.lines = vec!["x".into(); 6]), "address.lines", "COUNT_OUT_OF_RANGE"),
        (to(|a| a.lines = vec!["x".into(); 10_000]), "address.lines", "COUNT_OUT_OF_RANGE"),
        (to(|a| a.lines.push(String::new())), "address.lines[1]", TEXT_LENGTH),
        (to(|a| a.lines[0] = long(201)), "address.lines[0]", TEXT_LENGTH),
        (to(|a| a.lines[0] = "a\nb".into()), "address.lines[0]", "TEXT_MALFORMED"),
        (to(|a| a.city.clear()), "address.city", TEXT_LENGTH),
        (to(|a| a.city = long(101)), "address.city", TEXT_LENGTH),
        (to(|a| a.postal_code = long(21)), "address.postal_code", TEXT_LENGTH),
        (to(|a| a.country_code.clear()), "address.country_code", "COUNTRY_CODE_MALFORMED"),
        (to(|a| a.country_code = "de".into()), "address.country_code", "COUNTRY_CODE_MALFORMED"),
        (to(|a| a.country_code = "DEU".into()), "address.country_code", "COUNTRY_CODE_MALFORMED"),
    ];

    for (request, field, why) in cases {
        refused(shipping.create(request).await.unwrap_err(), field, why);
    }
    untouched(&shipping).await;
}

#[tokio::test]
async fn what_is_wrong_is_said_at_once() {
    let shipping = Shipping::start().await;

    let status = shipping.create(CreateShipmentRequest::default()).await.unwrap_err();

    assert_eq!(fields(&status), ["request_id", "order_id", "address"]);
}

#[tokio::test]
async fn the_longest_address_is_accepted() {
    let shipping = Shipping::start().await;
    let request = to(|a| {
        a.recipient = "é".repeat(200);
        a.lines = vec!["é".repeat(200); 5];
        a.city = "é".repeat(100);
        a.postal_code.clear();
    });

    shipping.create(request).await.unwrap();

    assert_eq!(shipping.addresses().await, 1);
}

#[tokio::test]
async fn other_requests_are_refused_by_the_name_of_their_field() {
    let shipping = Shipping::start().await;
    let id = create().request_id;

    refused(shipping.get("x").await.unwrap_err(), "shipment_id", "UUID_MALFORMED");
    refused(shipping.release(release("")).await.unwrap_err(), "shipment_id", "UUID_MALFORMED");
    refused(shipping.cancel(cancel("1-2-3")).await.unwrap_err(), "shipment_id", "UUID_MALFORMED");
    let mut anonymous = cancel(&id);
    anonymous.request_id.clear();
    refused(shipping.cancel(anonymous).await.unwrap_err(), "request_id", "UUID_MALFORMED");
    untouched(&shipping).await;
}

#[tokio::test]
async fn a_carrier_reports_what_carriers_know() {
    let shipping = Shipping::start().await;
    let id = shipping.released().await;
    let others = [
        ShipmentState::Unspecified as i32,
        ShipmentState::Held as i32,
        ShipmentState::Released as i32,
        ShipmentState::Cancelled as i32,
    ];

    let others = others.map(|state| (state, "STATE_NOT_REPORTABLE"));
    let unknown = [7, -1, i32::MAX].map(|state| (state, "ENUM_UNKNOWN"));

    for (state, why) in others.into_iter().chain(unknown) {
        let mut request = report(&id, ShipmentState::Dispatched);
        request.state = state;
        refused(shipping.report(request).await.unwrap_err(), "state", why);
    }

    assert_eq!(shipping.get(&id).await.unwrap().state(), ShipmentState::Released);
}

const TEXT_LENGTH: &str = "TEXT_LENGTH_OUT_OF_RANGE";

fn refused(status: Status, field: &str, why: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!((fields(&status), reason(&status).as_str()), (vec![field.to_owned()], why));
}

async fn untouched(shipping: &Shipping) {
    for table in ["shipments", "shipment_addresses", "log", "requests"] {
        assert_eq!(shipping.rows(table).await, 0, "{table}");
    }
}

fn with(change: impl FnOnce(&mut CreateShipmentRequest)) -> CreateShipmentRequest {
    let mut request = create();
    change(&mut request);
    request
}

fn to(change: impl FnOnce(&mut shop::common::v1::Address)) -> CreateShipmentRequest {
    let mut address = address();
    change(&mut address);
    with(|request| request.address = Some(address))
}
