//! Requests that cannot mean anything: the field is named, and no row is left behind.

use prost_types::Duration;
use shop::inventory::v1::{
    CommitReservationRequest, GetStockRequest, ReceiveStockRequest, ReservationLine,
    ReserveStockRequest,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::inventory::{Inventory, order, refusal};

#[tokio::test]
async fn a_malformed_reservation_names_its_field() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    let before = inventory.rows().await;
    let good = || order(&[("MUG", 1)]);
    let many: Vec<_> = (0..10_000).map(|_| line("MUG", 1)).collect();
    let hold = |seconds, nanos| Some(Duration { seconds, nanos });
    let cases = [
        (ReserveStockRequest { request_id: "7".into(), ..good() }, "request_id", "UUID_MALFORMED"),
        (
            ReserveStockRequest { request_id: String::new(), ..good() },
            "request_id",
            "UUID_MALFORMED",
        ),
        (ReserveStockRequest { order_id: "no".into(), ..good() }, "order_id", "UUID_MALFORMED"),
        (lines(vec![]), "lines", "COUNT_OUT_OF_RANGE"),
        (lines(many), "lines", "COUNT_OUT_OF_RANGE"),
        (lines(vec![line("MUG", 0)]), "lines[0].quantity", "NUMBER_OUT_OF_RANGE"),
        (lines(vec![line("MUG", -1)]), "lines[0].quantity", "NUMBER_OUT_OF_RANGE"),
        (lines(vec![line("MUG", i64::MAX)]), "lines[0].quantity", "NUMBER_OUT_OF_RANGE"),
        (lines(vec![line("MUG", 1), line("", 1)]), "lines[1].sku", "SKU_MALFORMED"),
        (lines(vec![line("mug,cup", 1)]), "lines[0].sku", "SKU_MALFORMED"),
        (
            lines(vec![line("TEA", 1), line("MUG", 1), line("TEA", 1)]),
            "lines[2].sku",
            "SKU_REPEATED",
        ),
        (ReserveStockRequest { hold: hold(0, 999_999_999), ..good() }, "hold", "HOLD_OUT_OF_RANGE"),
        (ReserveStockRequest { hold: hold(-1, 0), ..good() }, "hold", "HOLD_OUT_OF_RANGE"),
        (ReserveStockRequest { hold: hold(86_401, 0), ..good() }, "hold", "HOLD_OUT_OF_RANGE"),
        (
            ReserveStockRequest { hold: hold(i64::MAX, i32::MAX), ..good() },
            "hold",
            "HOLD_OUT_OF_RANGE",
        ),
    ];

    for (request, field, reason) in cases {
        assert_violation(&inventory.reserve(request).await.unwrap_err(), field, reason);
    }

    assert_eq!(inventory.rows().await, before);
    inventory.end().await;
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let inventory = Inventory::start().await;
    let request = ReserveStockRequest {
        request_id: "x".to_owned(),
        lines: vec![line("MUG", 0), line("mug", 1)],
        ..ReserveStockRequest::default()
    };

    let status = inventory.reserve(request).await.unwrap_err();

    let fields: Vec<_> = status.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = fields.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["request_id", "order_id", "lines[0].quantity", "lines[1].sku"]);
    inventory.end().await;
}

#[tokio::test]
async fn other_malformed_requests_name_their_fields() {
    let inventory = Inventory::start().await;
    let mut client = inventory.client.clone();
    let request_id = Uuid::now_v7().to_string();
    let mut receive = async |sku: &str, quantity| {
        let (request_id, sku) = (request_id.clone(), sku.to_owned());
        let request = ReceiveStockRequest { request_id, sku, quantity };
        client.receive_stock(request).await.unwrap_err()
    };

    assert_violation(&receive("MUG", 0).await, "quantity", "NUMBER_OUT_OF_RANGE");
    assert_violation(&receive("MUG", 1_000_001).await, "quantity", "NUMBER_OUT_OF_RANGE");
    assert_violation(&receive(&"M".repeat(41), 1).await, "sku", "SKU_MALFORMED");
    let refused = client.get_stock(GetStockRequest { sku: "MÜG".to_owned() }).await.unwrap_err();
    assert_violation(&refused, "sku", "SKU_MALFORMED");
    let request = CommitReservationRequest { request_id, reservation_id: "1".to_owned() };
    let refused = client.commit_reservation(request).await.unwrap_err();
    assert_violation(&refused, "reservation_id", "UUID_MALFORMED");

    assert_eq!(inventory.rows().await, 0);
    inventory.end().await;
}

#[tokio::test]
async fn what_cannot_be_reserved_leaves_no_row() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    let before = inventory.rows().await;

    let unknown = inventory.reserve(order(&[("MUG", 1), ("NOPE", 1)])).await;
    let too_many = inventory.reserve(order(&[("MUG", 1_000_000)])).await;

    let refused = |reason: &str, sku: &str| {
        (Code::FailedPrecondition, reason.to_owned(), Some(sku.to_owned()))
    };
    assert_eq!(refusal(unknown), refused("SKU_UNKNOWN", "NOPE"));
    assert_eq!(refusal(too_many), refused("OUT_OF_STOCK", "MUG"));
    assert_eq!(inventory.rows().await, before);
    inventory.end().await;
}

fn assert_violation(status: &Status, field: &str, reason: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
    assert_eq!(mesh_rpc::reason(status).as_deref(), Some(reason), "{field}");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, field);
    assert_eq!(violations[0].reason, reason);
    assert_eq!(violations.len(), 1, "{violations:?}");
}

fn lines(lines: Vec<ReservationLine>) -> ReserveStockRequest {
    ReserveStockRequest { lines, ..order(&[]) }
}

fn line(sku: &str, quantity: i64) -> ReservationLine {
    ReservationLine { sku: sku.to_owned(), quantity }
}
