//! Requests that cannot mean anything: the field is named, and no row is left behind.

use prost_types::Duration;
use shop::inventory::v1::{
    AdjustStockRequest, AdjustmentReason, BatchGetStockRequest, CommitReservationRequest,
    GetReservationRequest, GetStockRequest, ListMovementsRequest, ListStockRequest,
    ReceiveStockRequest, ReservationLine, ReserveStockRequest, SetLowStockThresholdRequest,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::inventory::{Inventory, adjustment, blamed, order, refusal, threshold};

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

#[tokio::test]
async fn a_malformed_adjustment_or_threshold_names_its_field() {
    use AdjustmentReason::{Counted, Damaged, Found, ReturnedToSupplier, Unspecified};
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    let before = inventory.rows().await;
    let good = || adjustment("MUG", -1, Counted);

    for request_id in ["", "7"].map(str::to_owned) {
        let request = AdjustStockRequest { request_id: request_id.clone(), ..good() };
        adjusting(&inventory, request, "request_id", "UUID_MALFORMED").await;
        let request = SetLowStockThresholdRequest { request_id, ..threshold("MUG", 1) };
        setting(&inventory, request, "request_id", "UUID_MALFORMED").await;
    }
    for sku in ["", "mug", &"M".repeat(41)] {
        adjusting(&inventory, adjustment(sku, -1, Counted), "sku", "SKU_MALFORMED").await;
        setting(&inventory, threshold(sku, 1), "sku", "SKU_MALFORMED").await;
    }
    for (quantity, reason) in [
        (0, Counted),
        (1_000_001, Counted),
        (-1_000_001, Counted),
        (i64::MIN, Counted),
        (1, Damaged),
        (0, Damaged),
        (-1, Found),
        (i64::MAX, Found),
        (1, ReturnedToSupplier),
    ] {
        let request = adjustment("MUG", quantity, reason);
        adjusting(&inventory, request, "quantity", "NUMBER_OUT_OF_RANGE").await;
    }
    for reason in [Unspecified.into(), 5, -1, i32::MAX] {
        let request = AdjustStockRequest { reason, ..good() };
        adjusting(&inventory, request, "reason", "ENUM_UNKNOWN").await;
    }
    let note = "x".repeat(501);
    let request = AdjustStockRequest { note, ..good() };
    adjusting(&inventory, request, "note", "TEXT_LENGTH_OUT_OF_RANGE").await;
    let request = AdjustStockRequest { note: "a\0b".to_owned(), ..good() };
    adjusting(&inventory, request, "note", "TEXT_MALFORMED").await;
    for quantity in [-1, 1_000_000_001] {
        let request = threshold("MUG", quantity);
        setting(&inventory, request, "low_stock_threshold", "NUMBER_OUT_OF_RANGE").await;
    }
    for etag in ["x", "-1", "99999999999"].map(str::to_owned) {
        let request = SetLowStockThresholdRequest { etag, ..threshold("MUG", 1) };
        setting(&inventory, request, "etag", "ETAG_MALFORMED").await;
    }

    assert_eq!(inventory.rows().await, before);
    inventory.end().await;
}

async fn adjusting(inventory: &Inventory, request: AdjustStockRequest, field: &str, reason: &str) {
    assert_violation(&inventory.adjust(request).await.unwrap_err(), field, reason);
}

async fn setting(
    inventory: &Inventory,
    request: SetLowStockThresholdRequest,
    field: &str,
    reason: &str,
) {
    assert_violation(&inventory.watch(request).await.unwrap_err(), field, reason);
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_names_its_field() {
    let inventory = Inventory::start().await;
    let mut client = inventory.client.clone();
    let mut batch = async |skus: &[&str]| {
        let skus = skus.iter().map(|sku| (*sku).to_owned()).collect();
        client.batch_get_stock(BatchGetStockRequest { skus }).await.unwrap_err()
    };
    assert_violation(&batch(&[]).await, "skus", "COUNT_OUT_OF_RANGE");
    assert_violation(&batch(&["A"; 1001][..]).await, "skus", "COUNT_OUT_OF_RANGE");
    assert_violation(&batch(&["A", "b"]).await, "skus[1]", "SKU_MALFORMED");
    assert_violation(&batch(&["A", "B", "A"]).await, "skus[2]", "SKU_REPEATED");

    let mut client = inventory.client.clone();
    let mut list = async |page_size, page_token: &str| {
        let page_token = page_token.to_owned();
        let request = ListStockRequest { page_size, page_token, low_only: false };
        client.list_stock(request).await.unwrap_err()
    };
    assert_violation(&list(-1, "").await, "page_size", "PAGE_SIZE_NEGATIVE");
    assert_violation(&list(0, "nonsense").await, "page_token", "PAGE_TOKEN_MALFORMED");

    let mut client = inventory.client.clone();
    let mut movements = async |sku: &str, order_id: &str, page_token: &str| {
        let (sku, order_id) = (sku.to_owned(), order_id.to_owned());
        let page_token = page_token.to_owned();
        let request = ListMovementsRequest { sku, order_id, page_token, ..Default::default() };
        client.list_movements(request).await.unwrap_err()
    };
    let order_id = Uuid::now_v7().to_string();
    assert_violation(&movements("", "", "").await, "sku", "FIELD_MISSING");
    assert_violation(&movements("mug", "", "").await, "sku", "SKU_MALFORMED");
    assert_violation(&movements("mug", &order_id, "").await, "sku", "SKU_MALFORMED");
    assert_violation(&movements("MUG", "7", "").await, "order_id", "UUID_MALFORMED");
    assert_violation(&movements("MUG", "", "7").await, "page_token", "PAGE_TOKEN_MALFORMED");
    let query = "shop.inventory.v1.InventoryService/ListMovements sku=MUG newest first";
    let forged = mesh_rpc::page_token(query, "-7");
    assert_violation(&movements("MUG", "", &forged).await, "page_token", "PAGE_TOKEN_MALFORMED");
    let other = mesh_rpc::page_token(query, "7");
    assert_violation(&movements("CUP", "", &other).await, "page_token", "PAGE_TOKEN_MALFORMED");
    inventory.end().await;
}

#[tokio::test]
async fn a_refusal_names_the_field_that_is_to_blame() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    inventory.receive("TEA", 1).await;

    let unknown = order(&[("TEA", 1), ("NOPE", 1), ("MUG", 1)]);
    assert_eq!(blamed(inventory.reserve(unknown).await), "lines[1].sku");
    let too_many = order(&[("TEA", 1), ("MUG", 1_000_000)]);
    assert_eq!(blamed(inventory.reserve(too_many).await), "lines[1].quantity");
    let good = order(&[("MUG", 1)]);
    let id = inventory.reserve(good.clone()).await.unwrap().reservation_id;
    let mut differs = good;
    differs.lines[0].quantity = 2;
    assert_eq!(blamed(inventory.reserve(differs).await), "request_id");
    let late = order(&[("MUG", 1)]);
    inventory.release(&late.request_id).await.unwrap();
    assert_eq!(blamed(inventory.reserve(late.clone()).await), "request_id");
    assert_eq!(blamed(inventory.commit(&late.request_id).await), "reservation_id");
    assert_eq!(blamed(inventory.ship(&id).await), "reservation_id");
    let never = Uuid::now_v7().to_string();
    assert_eq!(blamed(inventory.commit(&never).await), "reservation_id");
    let mut client = inventory.client.clone();
    let request = GetReservationRequest { reservation_id: never };
    assert_eq!(blamed(client.get_reservation(request).await), "reservation_id");
    let request = GetStockRequest { sku: "NOPE".to_owned() };
    assert_eq!(blamed(client.get_stock(request).await), "sku");
    let request_id = Uuid::now_v7().to_string();
    let delivery = |quantity| {
        let (request_id, sku) = (request_id.clone(), "MUG".to_owned());
        ReceiveStockRequest { request_id, sku, quantity }
    };
    client.receive_stock(delivery(1)).await.unwrap();
    assert_eq!(blamed(client.receive_stock(delivery(2)).await), "request_id");
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
