//! SQL, in the caller's transaction.

mod list;
mod positions;
mod row;
mod save;
mod shipments;

pub use list::{Listed, list};
pub use positions::{NewPosition, known_positions, positions_after, save_positions};
pub use row::Row;
pub use save::save;
pub use shipments::{LAST_SEQUENCES, get, lock};
