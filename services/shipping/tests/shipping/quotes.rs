//! What a parcel costs and when it arrives, before it is announced and after.

use shop::{
    common::v1::Money,
    shipping::v1::{
        CreateShipmentRequest, DeliveryEstimate, QuoteShippingRequest, QuoteShippingResponse,
        ShipmentState, ShippingSpeed,
    },
};
use time::{Date, OffsetDateTime};
use tonic::{Code, Status};

use crate::support::{Shipping, cancel, create, fields, reason, release, report};

#[tokio::test]
async fn a_quote_depends_on_weight_country_and_speed() {
    let shipping = Shipping::start().await;
    let (standard, express) = (ShippingSpeed::Standard, ShippingSpeed::Express);
    let cases = [
        ("BE", 1, standard, euros(4, 90), (1, 2)),
        ("BE", 1000, standard, euros(4, 90), (1, 2)),
        ("BE", 1001, standard, euros(5, 50), (1, 2)),
        ("BE", 1, express, euros(9, 90), (1, 1)),
        ("PL", 2500, standard, euros(10, 10), (2, 4)),
        ("CH", 1000, express, euros(23, 90), (2, 3)),
        ("US", 30_000, standard, euros(150, 40), (6, 10)),
    ];

    for (country, grams, speed, price, days) in cases {
        let quote = shipping.quote(country, grams, speed.into()).await.unwrap();

        assert_eq!(quote.price, Some(price), "{country} {grams}");
        let estimate = quote.estimate.as_ref().unwrap();
        assert_eq!((estimate.earliest_days, estimate.latest_days), days, "{country}");
        assert_eq!((quote.speed(), quote.weight_grams), (speed, grams));
    }
}

#[tokio::test]
async fn a_quote_without_weight_and_speed_is_for_a_kilogram_the_usual_way() {
    let shipping = Shipping::start().await;

    let quote = shipping.quote("DE", 0, 0).await.unwrap();

    assert_eq!(quote, shipping.quote("DE", 1000, ShippingSpeed::Standard.into()).await.unwrap());
    assert_eq!((quote.speed(), quote.weight_grams), (ShippingSpeed::Standard, 1000));
}

#[tokio::test]
async fn days_of_arrival_are_working_days_to_come() {
    let shipping = Shipping::start().await;

    let before = OffsetDateTime::now_utc().date();
    let estimate = shipping.quote("US", 0, 0).await.unwrap().estimate.unwrap();

    let (earliest, latest) = days(&estimate);
    for day in [earliest, latest] {
        assert!(day.weekday().number_days_from_monday() < 5, "{day}");
    }
    // Six and ten working days hold one weekend at least, and two at most.
    assert!((8..=10).contains(&(earliest - before).whole_days()), "{earliest}");
    assert!((12..=15).contains(&(latest - before).whole_days()), "{latest}");
}

#[tokio::test]
async fn nobody_quotes_for_where_nobody_goes_or_for_what_nobody_carries() {
    let shipping = Shipping::start().await;

    for country in ["AQ", "RU", "ZZ"] {
        let status = shipping.quote(country, 0, 0).await.unwrap_err();

        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason(&status), "ADDRESS_NOT_SERVED");
        assert_eq!(fields(&status), ["country_code"]);
        let named = mesh_rpc::error_metadata(&status, "country_code");
        assert_eq!(named.as_deref(), Some(country));
    }
    let cases = [
        (("", 0, 0), "country_code", "COUNTRY_CODE_MALFORMED"),
        (("be", 0, 0), "country_code", "COUNTRY_CODE_MALFORMED"),
        (("BE", -1, 0), "weight_grams", "NUMBER_OUT_OF_RANGE"),
        (("BE", 30_001, 0), "weight_grams", "NUMBER_OUT_OF_RANGE"),
        (("BE", i32::MIN, 0), "weight_grams", "NUMBER_OUT_OF_RANGE"),
        (("BE", 0, 3), "speed", "ENUM_UNKNOWN"),
        (("BE", 0, -1), "speed", "ENUM_UNKNOWN"),
    ];
    for ((country, grams, speed), field, why) in cases {
        let status = shipping.quote(country, grams, speed).await.unwrap_err();

        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!((fields(&status), reason(&status).as_str()), (vec![field.to_owned()], why));
    }
    let everything = shipping.quote("be", -1, 9).await.unwrap_err();
    assert_eq!(fields(&everything), ["country_code", "weight_grams", "speed"]);
}

#[tokio::test]
async fn a_shipment_keeps_the_price_of_its_quote_and_is_expected_until_it_ends() {
    let shipping = Shipping::start().await;
    let (weight_grams, speed) = (2500, ShippingSpeed::Express);
    let quote = shipping.quote("BE", weight_grams, speed.into()).await.unwrap();
    let request = CreateShipmentRequest { weight_grams, speed: speed.into(), ..create() };
    let id = &request.request_id;

    let mut states = vec![shipping.create(request.clone()).await.unwrap()];
    states.push(shipping.release(release(id)).await.unwrap());
    states.push(shipping.report(report(id, ShipmentState::Dispatched)).await.unwrap());
    let ended = shipping.report(report(id, ShipmentState::Delivered)).await.unwrap();

    for shipment in states.iter().chain([&ended]) {
        assert_eq!(shipment.price, quote.price);
        assert_eq!((shipment.speed(), shipment.weight_grams), (speed, weight_grams));
        assert_eq!(shipment.tracking_number, states[0].tracking_number);
    }
    for shipment in &states {
        let (earliest, latest) = days(shipment.estimate.as_ref().unwrap());
        let from = shipment.update_time.as_ref().unwrap().seconds;
        let from = OffsetDateTime::from_unix_timestamp(from).unwrap().date();
        assert!(from < earliest && earliest <= latest, "{shipment:?}");
    }
    assert_eq!(ended.estimate, None);
    assert_eq!(shipping.create(request).await.unwrap(), states[0], "as it was told at first");
}

#[tokio::test]
async fn a_shipment_without_weight_and_speed_is_a_kilogram_the_usual_way() {
    let shipping = Shipping::start().await;

    let shipment = shipping.create(create()).await.unwrap();

    assert_eq!((shipment.speed(), shipment.weight_grams), (ShippingSpeed::Standard, 1000));
    assert_eq!(shipment.price, Some(euros(4, 90)));
    assert_eq!(shipping.get(&shipment.shipment_id).await.unwrap(), shipment);
}

#[tokio::test]
async fn a_parcel_that_nobody_carries_is_not_announced() {
    let shipping = Shipping::start().await;
    let cases = [
        (CreateShipmentRequest { weight_grams: -1, ..create() }, "weight_grams"),
        (CreateShipmentRequest { weight_grams: 30_001, ..create() }, "weight_grams"),
        (CreateShipmentRequest { speed: 3, ..create() }, "speed"),
    ];

    for (request, field) in cases {
        let status = shipping.create(request).await.unwrap_err();

        assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec![field.into()]));
    }
    assert_eq!(shipping.rows("shipments").await, 0);
}

#[tokio::test]
async fn a_shipment_that_comes_again_with_another_speed_is_another_one() {
    let shipping = Shipping::start().await;
    let first = create();
    let made = shipping.create(first.clone()).await.unwrap();

    let faster = CreateShipmentRequest { speed: ShippingSpeed::Express.into(), ..first };
    let status = shipping.create(faster).await.unwrap_err();

    assert_eq!(reason(&status), "REQUEST_CONTENT_DIFFERS");
    assert_eq!(fields(&status), ["request_id"]);
    assert_eq!(shipping.get(&made.shipment_id).await.unwrap(), made);
}

#[tokio::test]
async fn every_label_is_another_one_and_a_mark_has_none() {
    let shipping = Shipping::start().await;

    let one = shipping.create(create()).await.unwrap().tracking_number;
    let other = shipping.create(create()).await.unwrap().tracking_number;
    let mark = shipping.cancel(cancel(&create().request_id)).await.unwrap();

    assert_ne!(one, other);
    assert!(one.len() == 26 && one.bytes().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase()));
    assert_eq!((mark.tracking_number.as_str(), mark.price, mark.estimate), ("", None, None));
}

/// A row of a replica that knows nothing of prices yet.
#[tokio::test]
async fn a_shipment_of_which_nobody_knows_the_price_goes_its_way() {
    let shipping = Shipping::start().await;
    let id = shipping.held().await;
    sqlx::query(
        "UPDATE shipments SET speed = NULL, weight_grams = NULL, zone = NULL, currency = NULL,
                              price_minor = NULL",
    )
    .execute(shipping.pool())
    .await
    .unwrap();

    let released = shipping.release(release(&id)).await.unwrap();

    assert_eq!(released.state(), ShipmentState::Released);
    assert_eq!(released.speed(), ShippingSpeed::Unspecified);
    assert_eq!((released.weight_grams, &released.price, &released.estimate), (0, &None, &None));
    assert_eq!(shipping.get(&id).await.unwrap(), released);
}

impl Shipping {
    async fn quote(
        &self,
        country_code: &str,
        weight_grams: i32,
        speed: i32,
    ) -> Result<QuoteShippingResponse, Status> {
        let country_code = country_code.to_owned();
        let request = QuoteShippingRequest { country_code, weight_grams, speed };
        Ok(self.client().quote_shipping(request).await?.into_inner())
    }
}

fn days(estimate: &DeliveryEstimate) -> (Date, Date) {
    (day(&estimate.earliest_date), day(&estimate.latest_date))
}

/// Reads what looks like `2026-11-23`.
fn day(text: &str) -> Date {
    let parts: Vec<i32> = text.splitn(3, '-').map(|part| part.parse().unwrap()).collect();
    let month = u8::try_from(parts[1]).unwrap().try_into().unwrap();
    Date::from_calendar_date(parts[0], month, parts[2].try_into().unwrap()).unwrap()
}

fn euros(units: i64, cents: i32) -> Money {
    Money { currency_code: "EUR".into(), units, nanos: cents * 10_000_000 }
}
