//! How the shop does right now: what `top` shows.
//!
//! [`look`] takes a [`Glance`] at every process; two of them make a [`View`], which [`draw`] puts on
//! a terminal and [`View::tables`] into text.

mod draw;
mod glance;
mod metrics;
mod tables;
mod view;

pub use draw::draw;
pub use glance::{Glance, Process, Seen, look};
pub use metrics::Metrics;
pub use tables::{Cell, Look, Table};
pub use view::{Row, Sagas, View};
