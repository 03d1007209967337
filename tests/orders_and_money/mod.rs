//! Orders and money: what goes wrong, and the end that every order comes to all the same.
//!
//! The tests are the scenarios A1 to A15; the grid of crashes (A3) is in `crash_grid`, the loss of
//! a parcel (A2) also in `checkout`.

mod cancels;
mod duplicates;
mod minute;
pub mod operators;
mod overtaken;
mod refusals;
mod replicas;
mod silence;

use shop::{
    inventory::v1::ReservationState,
    orders::v1::{CancelOrderRequest, CancelOrderResponse},
    shipping::v1::{RecordCarrierUpdateRequest, RecordCarrierUpdateResponse, ShipmentState},
};
use tonic::Status;

use crate::{
    evidence::step_key,
    shop::{Shop, uuid},
};

const REFUSES_CAPTURE: &str = "4000000000000374";
const LOSES_FIRST_ANSWERS: &str = "4000000000000341";
const LOSES_FIRST_REQUESTS: &str = "4000000000000358";
pub const ANSWERS_SLOWLY: &str = "4000000000000366";

/// Cancels it as its customer would.
pub async fn cancel(shop: &Shop, order_id: &str) -> Result<CancelOrderResponse, Status> {
    let request = CancelOrderRequest { request_id: uuid(), order_id: order_id.to_owned() };
    Ok(shop.orders().cancel_order(request).await?.into_inner())
}

/// Reports for the carrier what became of the order's parcel.
pub async fn report(
    shop: &Shop,
    order_id: &str,
    state: ShipmentState,
) -> Result<RecordCarrierUpdateResponse, Status> {
    let request = RecordCarrierUpdateRequest {
        request_id: uuid(),
        shipment_id: step_key(order_id, "create_shipment"),
        state: state.into(),
    };
    Ok(shop.shipping().record_carrier_update(request).await?.into_inner())
}

/// Asserts where the order's reservation ended, and through how many states it went.
async fn reservation_is(shop: &Shop, order_id: &str, state: ReservationState, version: i32) {
    let reservation = shop.reservation(order_id).await.unwrap();
    assert_eq!((reservation.state(), reservation.version), (state, version));
}
