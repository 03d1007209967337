//! A walk of a new version of a service from no call to all of them, in a shop that runs behind sidecars.
//! What is decided on the way is in `mesh/ctl/src/rollout/`.

mod back;
mod fleet;
mod hold;
mod image;
mod report;
mod shop;
mod walk;

pub use back::put_back;
pub use hold::{Hold, Record};
pub use image::Image;
pub use report::{Hurt, Report, Step, Why};
pub use shop::Shop;
pub use walk::{Pace, Walk};
