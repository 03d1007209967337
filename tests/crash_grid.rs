//! Every step of the checkout and every compensation, killed at every point.
//!
//! For each cell a real process gets SIGKILL at a named point, is started again, and the order must
//! come to the end that it would have come to without the crash, with money and stock right.

use std::fmt::Write as _;

use shop::{
    orders::v1::{CancelOrderRequest, OrderState},
    shipping::v1::{RecordCarrierUpdateRequest, ShipmentState},
};
use uuid::Uuid;

use crate::{
    evidence::keep,
    shop::{GOOD_CARD, Shop, persist, uuid},
};

const POINTS: [&str; 4] = ["before_call", "after_call", "before_commit", "after_commit"];

/// An order's way, on which the step is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Bought.
    Confirmed,
    /// Turned back because the capture was refused.
    CaptureRefused,
    /// Turned back because the card was declined.
    Declined,
    /// Bought, then cancelled.
    Cancelled,
    /// Bought, shipped, and lost by the carrier.
    Lost,
}

/// A row of the grid: a step, and the points at which the orders service and a callee can die.
struct Row {
    step: &'static str,
    way: Way,
    /// The step's label in the orders service; empty where it is only the callee's.
    orders: &'static str,
    callee: &'static str,
    /// The callee's label for the step.
    label: &'static str,
    /// Which of POINTS the callee has.
    callee_points: &'static [&'static str],
}

const COMMITS: &[&str] = &["before_commit", "after_commit"];
const ALL: &[&str] = &POINTS;

const fn row(
    step: &'static str,
    way: Way,
    orders: &'static str,
    callee: &'static str,
    label: &'static str,
    callee_points: &'static [&'static str],
) -> Row {
    Row { step, way, orders, callee, label, callee_points }
}

const ROWS: &[Row] = &[
    row("reserve", Way::Confirmed, "reserve", "inventory", "reserve_stock", COMMITS),
    row("authorize", Way::Confirmed, "authorize", "payments", "authorize", ALL),
    row("authorize (intent)", Way::Confirmed, "", "payments", "authorize_intent", COMMITS),
    row("authorize (processor)", Way::Confirmed, "", "processor", "authorize", COMMITS),
    row(
        "create shipment",
        Way::Confirmed,
        "create_shipment",
        "shipping",
        "create_shipment",
        COMMITS,
    ),
    row("commit", Way::Confirmed, "commit", "inventory", "commit_reservation", COMMITS),
    row("capture", Way::Confirmed, "capture", "payments", "capture", ALL),
    row("capture (intent)", Way::Confirmed, "", "payments", "capture_intent", COMMITS),
    row("capture (processor)", Way::Confirmed, "", "processor", "capture", COMMITS),
    row(
        "release shipment",
        Way::Confirmed,
        "release_shipment",
        "shipping",
        "release_shipment",
        COMMITS,
    ),
    row("undo: void", Way::CaptureRefused, "undo_payment", "payments", "undo", ALL),
    row("undo: void (intent)", Way::CaptureRefused, "", "payments", "undo_intent", COMMITS),
    row("undo: void (processor)", Way::CaptureRefused, "", "processor", "void", COMMITS),
    row(
        "undo: restock",
        Way::CaptureRefused,
        "restock",
        "inventory",
        "restock_reservation",
        COMMITS,
    ),
    row(
        "undo: cancel shipment",
        Way::CaptureRefused,
        "cancel_shipment",
        "shipping",
        "cancel_shipment",
        COMMITS,
    ),
    row("undo: release", Way::Declined, "release", "inventory", "release_reservation", COMMITS),
    row(
        "cancel: shipment",
        Way::Cancelled,
        "cancel_shipment",
        "shipping",
        "cancel_shipment",
        COMMITS,
    ),
    row("cancel: refund", Way::Cancelled, "undo_payment", "payments", "undo", ALL),
    row("cancel: refund (processor)", Way::Cancelled, "", "processor", "refund", COMMITS),
    row("cancel: restock", Way::Cancelled, "restock", "inventory", "restock_reservation", COMMITS),
    row("loss: refund", Way::Lost, "refund_loss", "payments", "refund", ALL),
    row("loss: refund (intent)", Way::Lost, "", "payments", "refund_intent", COMMITS),
    row("loss: refund (processor)", Way::Lost, "", "processor", "refund", COMMITS),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_order_survives_a_crash_at_every_point_of_every_step() {
    let shop = Shop::open().await;
    let sku = shop.stocked(10_000).await;
    let mut table = heading();
    let mut cells = 0;
    for row in ROWS {
        let mut line = format!("{:<28}", row.step);
        for point in POINTS {
            let word = if row.orders.is_empty() {
                "–"
            } else {
                cells += 1;
                cell(&shop, &sku, row, "orders", &format!("{}:{point}", row.orders)).await
            };
            write!(line, "{word:<15}").unwrap();
        }
        for point in POINTS {
            let word = if row.callee_points.contains(&point) {
                cells += 1;
                cell(&shop, &sku, row, row.callee, &format!("{}:{point}", row.label)).await
            } else {
                "–"
            };
            write!(line, "{word:<15}").unwrap();
        }
        println!("{line}");
        table.push_str(&line);
        table.push('\n');
    }
    keep("crash-grid.txt", &format!("{table}\n{cells} cells, each hit"));
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

fn heading() -> String {
    let mut heading = format!("{:<28}{:<60}{:<60}\n{:<28}", "", "orders", "the callee", "step");
    for point in POINTS.iter().chain(&POINTS) {
        write!(heading, "{:<15}", point.replace('_', " ")).unwrap();
    }
    heading + "\n"
}

/// One order on its way, with a crash on it. Returns once the order has come to its end.
async fn cell(shop: &Shop, sku: &str, row: &Row, victim: &str, point: &str) -> &'static str {
    let before = shop.stock(sku).await;
    let card = match row.way {
        Way::CaptureRefused => "4000000000000374",
        Way::Declined => "4000000000000002",
        Way::Confirmed | Way::Cancelled | Way::Lost => GOOD_CARD,
    };
    let request = shop.order_of(sku, 1, card).await;
    let process = shop.platform.service(victim);
    let late = matches!(row.way, Way::Cancelled | Way::Lost);
    let mut starts = if late { 0 } else { process.arm(point).await };
    let order = persist("to place", async || shop.place(request.clone()).await).await.unwrap();
    let id = order.order_id;
    if late {
        shop.comes_to(&id, OrderState::Confirmed).await;
        shop.rests(&id).await;
        starts = process.arm(point).await;
    }
    match row.way {
        Way::Cancelled => cancel(shop, &id).await,
        Way::Lost => lose(shop, &id).await,
        Way::Confirmed | Way::CaptureRefused | Way::Declined => (),
    }

    process.restarted(starts).await;
    let end = match row.way {
        Way::Confirmed => OrderState::Confirmed,
        Way::CaptureRefused | Way::Declined => OrderState::Rejected,
        Way::Cancelled => OrderState::Cancelled,
        Way::Lost => OrderState::Lost,
    };
    shop.comes_to(&id, end).await;
    shop.rests(&id).await;
    process.ready().await;
    let kept = |after: &shop::inventory::v1::Stock| match row.way {
        Way::Confirmed => after.committed == before.committed + 1,
        Way::Lost => after.lost == before.lost + 1,
        _ => after.on_hand == before.on_hand,
    };
    mesh_testkit::eventually(&format!("stock to be right after {victim} {point}"), async || {
        let after = shop.stock(sku).await;
        kept(&after) && after.reserved == before.reserved
    })
    .await;
    "ok"
}

async fn cancel(shop: &Shop, id: &str) {
    let request = CancelOrderRequest { request_id: uuid(), order_id: id.to_owned() };
    persist("to cancel", async || shop.orders().cancel_order(request.clone()).await).await.unwrap();
}

async fn lose(shop: &Shop, id: &str) {
    let shipment_id = shipment(id);
    for state in [ShipmentState::Dispatched, ShipmentState::Lost] {
        let update = RecordCarrierUpdateRequest {
            request_id: uuid(),
            shipment_id: shipment_id.clone(),
            state: state.into(),
        };
        persist("to report", async || shop.shipping().record_carrier_update(update.clone()).await)
            .await
            .unwrap();
    }
}

fn shipment(order_id: &str) -> String {
    Uuid::new_v5(&Uuid::parse_str(order_id).unwrap(), b"create_shipment").to_string()
}
