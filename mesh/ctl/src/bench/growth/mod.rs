//! What a long history costs: the same figures on a shop with many finished orders and on one
//! with next to none, in turn, on the same machine.
//!
//! The history is not ordered one by one. A few orders go through the contracts until they are
//! delivered, and every row they left in any database is written again and again in bulk, with
//! other ids and earlier times.

mod fill;
mod measure;
mod report;
mod rows;
mod samples;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

pub use fill::{Filled, fill, make_room};
pub use measure::{Known, Round, measure};
pub use report::{Line, Report, Verdict, lines, median};
pub use samples::place;

use super::Subject;

/// How many orders are placed and delivered in truth; the history repeats them.
pub const SAMPLES: usize = 8;

/// One of the two shops that are compared.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its doors and processes.
    pub subject: Subject,
    /// Where shipping answers gRPC.
    pub shipping: Vec<SocketAddr>,
    /// Every service's database, as superuser.
    pub databases: BTreeMap<String, String>,
    /// Orders' database, as its service.
    pub orders_url: String,
    /// The broker.
    pub nats_url: String,
}

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Finished orders that one side is filled with.
    pub orders: u64,
    /// Orders in flight.
    pub in_flight: usize,
    /// For how long orders are begun, each round.
    pub time: Duration,
    /// For how long each read is repeated, each round.
    pub reading: Duration,
}
