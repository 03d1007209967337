//! Use cases: load, decide, save.

mod cancel_order;
mod carts;
mod get_order;
mod place_order;
mod queries;

use mesh_log::{Database, Gather, SubmitError};

pub use cancel_order::{CancelOrder, cancel_order};
pub use carts::{Carts, ChangeCart, Wish};
pub use get_order::{Chapter, Shown, Story, Wanted, get_order};
pub use place_order::{PlaceOrder, place_order};
pub use queries::{Paged, list_order_events, list_orders};

use crate::{
    checkout::{Engine, PrivateCache},
    domain::{CartRefusal, NotCancellable, Unpriceable},
    neighbours::{Neighbours, Unpriced},
    store::ReadCarts,
};

/// What the use cases of orders need. Cheap to clone.
#[derive(Clone)]
pub struct Orders {
    pub db: Database,
    pub engine: Engine,
    pub neighbours: Neighbours,
    pub private: PrivateCache,
    pub carts: Gather<ReadCarts>,
}

/// Why a use case did not complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Cart(#[from] CartRefusal),
    #[error(transparent)]
    Unpriceable(#[from] Unpriceable),
    #[error(transparent)]
    Unpriced(#[from] Unpriced),
    #[error(transparent)]
    NotCancellable(#[from] NotCancellable),
    #[error("there is no such order")]
    NotFound,
    #[error("the order has not come that far")]
    VersionAhead { field: &'static str },
    #[error("this request_id was used for other content")]
    ContentDiffers,
    #[error("the order was changed by too many at once, ask again")]
    Contended,
    #[error("the order's stream cannot be read")]
    Unreadable,
    #[error(transparent)]
    NotDone(#[from] SubmitError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::NotDone(error.into())
    }
}
