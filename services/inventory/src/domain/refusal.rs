use super::{Sku, State};

/// A rule that a command breaks. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("not enough pieces of {sku} are free")]
    OutOfStock { sku: Sku },
    #[error("no supplier ever delivered {sku}")]
    SkuUnknown { sku: Sku },
    #[error("no supplier ever delivered {sku}")]
    StockNotFound { sku: Sku },
    #[error("the threshold is not what it was when it was read")]
    ThresholdChanged,
    #[error("the reservation was given up before this arrived")]
    CancelledBeforeArrival,
    #[error("the request id was used with other content")]
    RequestContentDiffers,
    #[error("there is no such reservation")]
    ReservationNotFound,
    #[error("the pieces have left")]
    ReservationShipped,
    #[error("the reservation is {}, not committed", .state.as_str())]
    ReservationNotCommitted { state: State },
    #[error("the reservation is {}, not shipped", .state.as_str())]
    ReservationNotShipped { state: State },
    #[error("no pieces are held for the order")]
    OrderUnknown,
}
