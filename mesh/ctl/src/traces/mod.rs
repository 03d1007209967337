//! What the shop's spans say: `up` keeps them in memory, `trace` shows one order's.
//!
//! [`Buffer`] holds them, bounded; [`Door`] takes them in by OTLP and answers questions;
//! [`Forest`] makes trees of them, [`Account`] says where the time went, and [`Story`] is both for an
//! id. [`talks`] counts what services ask each other.

mod account;
mod buffer;
mod door;
mod forest;
mod keep;
mod question;
mod span;
mod story;
mod talk;

pub use account::{Account, Phase, Share};
pub use buffer::{About, Answer, Buffer, Limits};
pub use door::Door;
pub use forest::{Forest, Node};
pub use question::{Asked, ask, ask_talks};
pub use span::{Kind, Link, Moment, Span};
pub use story::{Chapter, Story};
pub use talk::{Talk, talks};

#[cfg(test)]
mod tests;
