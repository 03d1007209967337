//! The running shop: what it consists of, how it is started, kept running and ended.

mod applicable;
mod believed;
mod claim;
mod desk;
mod guests;
mod identity;
mod observe;
mod plan;
mod ready;
mod replacement;
mod report;
mod running;
mod sidecars;
mod specs;
mod stand_in;
mod stores;

pub use applicable::applicable;
pub use believed::wait_believed;
pub use claim::Claim;
pub use desk::{Wish, ask};
pub use plan::{Plan, is_installed};
pub use ready::{PATIENCE, wait_ready};
pub use replacement::{Replacement, is_program, replacements};
pub use running::Running;
pub use specs::ServeEntry;
