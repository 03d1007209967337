use futures::{FutureExt as _, future::BoxFuture};
use mesh_events::{Claim, HandleError, Handler, Incoming};
use mesh_log::Meta;
use prost::Name as _;
use shop::shipping::v1::{ShipmentDispatched, ShipmentLost};
use uuid::Uuid;

use crate::{
    app::{Error, Guard, StockDesk},
    domain::{Command, Transfer},
};

/// The stream that tells what carriers did.
pub const STREAM: &str = "shipping";

/// The events that move pieces.
pub fn subjects() -> [String; 2] {
    [ShipmentDispatched::full_name(), ShipmentLost::full_name()]
}

/// Moves an order's pieces as its parcel moves.
///
/// An order whose pieces cannot move like that is a failure: the event is tried again, and becomes
/// a dead letter when that does not help. An event of a type that is not known here is one at once.
pub struct Shipments {
    desk: StockDesk,
}

impl Shipments {
    pub fn new(desk: StockDesk) -> Self {
        Self { desk }
    }

    async fn apply(&self, event: Incoming, claim: Claim) -> Result<(), HandleError> {
        let (transfer, order_id) = if event.kind == ShipmentDispatched::full_name() {
            (Transfer::Ship, event.decode::<ShipmentDispatched>()?.order_id)
        } else if event.kind == ShipmentLost::full_name() {
            (Transfer::WriteOff, event.decode::<ShipmentLost>()?.order_id)
        } else {
            // A dead letter is tried again by code that knows it; what is acknowledged never is.
            return Err(HandleError::Undecodable(format!("unknown type {}", event.kind)));
        };
        let unreadable = |_| HandleError::Undecodable(format!("order_id is no UUID: {order_id:?}"));
        let order_id = Uuid::try_parse(&order_id).map_err(unreadable)?;
        let command = Command::Transfer { order_id, transfer };
        let submitted = self.desk.submit_caused(command, Guard::Event(claim), caused_by(&event));
        match submitted.await {
            Ok(_) => Ok(()),
            Err(Error::NotDone(error)) => Err(error.into()),
            Err(error) => Err(HandleError::failed(error)),
        }
    }
}

/// Where the events that `event` leads to came from.
fn caused_by(event: &Incoming) -> Meta {
    Meta { causation_id: event.id.to_string(), correlation_id: event.story(), ..Meta::current() }
}

impl Handler for Shipments {
    fn handle(&self, event: Incoming, claim: Claim) -> BoxFuture<'_, Result<(), HandleError>> {
        self.apply(event, claim).boxed()
    }
}
