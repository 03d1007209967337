//! SQL, and what streams hold.

mod carts;
mod order_view;
mod private;
mod rows;
mod snapshot;
mod state;

pub use carts::{
    CartDone, CartOnce, LockedCart, ReadCarts, carts_once, drop_unused_carts, lock_carts,
    save_carts,
};
pub use order_view::{Filter, Listed, Place, Turn, add, list};
pub use private::{Private, get_private};
pub use rows::{AuditRow, CartEnd, CartTake, Forget, OrderRows, RequestSeen};
pub use snapshot::{Kept, decode, encode};
