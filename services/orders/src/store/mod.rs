//! SQL, and what streams hold.

mod carts;
mod private;
mod rows;
mod snapshot;

pub use carts::{LockedCart, changed_at, drop_unused_carts, get_cart, lock_carts, save_carts};
pub use private::{Private, get_private};
pub use rows::{AuditRow, CartEnd, CartTake, Forget, OrderRows, RequestSeen};
pub use snapshot::{Kept, decode, encode};
