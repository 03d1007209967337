//! A new version of a service takes calls step by step, and is judged at each by what the sidecars of its
//! callers have counted. Here is what is decided; `mesh/ctl/src/canary/` of the program does it.

mod config;
mod judge;
mod measure;
mod routes;
mod steps;

pub use config::{cluster, in_force, knows};
pub use judge::{Broken, Rules, judge};
pub use measure::{Measured, Times};
pub use routes::Routes;
pub use steps::Steps;
