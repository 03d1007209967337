//! The auditor: are money, stock and messages right, over all databases and streams?
//!
//! It knows no service's code. It reads the views that each database publishes for auditors, the
//! tables that every service's database has (`log`, `inbox`, `dead_letters`, `streams`), and the
//! broker's streams, compares them in memory, and changes nothing. Of users it reads what is public, the
//! log and the stream, and nothing of anybody.
//!
//! Databases cannot be read at one moment. So orders are read first and last: one that is settled
//! and the same in both was at rest while the rest was read, and every rule holds for it. Others
//! are in motion: listed with their age, not summed.

mod checks;
mod facts;
mod read;
mod report;
mod story;
mod unreadable;

use std::time::Duration;

use mesh_local::Declaration;
use tokio::time::{Instant, sleep};

pub use report::{Check, Finding, InMotion, Report};
pub use unreadable::Unreadable;

use read::Databases;

/// Pause between two rounds of an audit that waits.
const PAUSE: Duration = Duration::from_millis(250);

/// Where everything is. The URLs carry credentials that may read.
#[derive(Clone, Debug)]
pub struct Places {
    /// The database of orders.
    pub orders: String,
    /// The database of payments.
    pub payments: String,
    /// The database of the card processor.
    pub processor: String,
    /// The database of inventory.
    pub inventory: String,
    /// The database of shipping.
    pub shipping: String,
    /// The database of the catalog.
    pub catalog: String,
    /// The database of users, of which nothing but the log is read; none in a shop without accounts.
    pub users: Option<String>,
    /// The broker.
    pub nats: String,
}

impl Places {
    /// With a service's database where `database` says.
    ///
    /// # Errors
    /// What `database` does not say.
    pub fn of<E>(
        nats: String,
        mut database: impl FnMut(&str) -> Result<String, E>,
    ) -> Result<Self, E> {
        Ok(Self {
            orders: database("orders")?,
            payments: database("payments")?,
            processor: database("processor")?,
            inventory: database("inventory")?,
            shipping: database("shipping")?,
            catalog: database("catalog")?,
            users: None,
            nats,
        })
    }

    /// With accounts, kept in this database if there are any.
    pub fn with_users(self, users: Option<String>) -> Self {
        Self { users, ..self }
    }
}

/// What is asked of an audit.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to look again until nothing is in motion and nothing is wrong.
    pub wait: Duration,
    /// How old an event may be before it counts as lost rather than on its way.
    pub grace: Duration,
    /// How long a saga may be at work without being parked.
    pub saga_limit: Duration,
    /// Dead letters are no finding.
    pub dead_letters_allowed: bool,
    /// Who publishes, and who takes what: the services' `mesh.toml`.
    pub declarations: Vec<Declaration>,
}

impl Options {
    /// Looks once, with the limits that the services themselves have.
    pub fn new(declarations: Vec<Declaration>) -> Options {
        Options {
            wait: Duration::ZERO,
            grace: Duration::from_secs(10),
            saga_limit: Duration::from_secs(5 * 60),
            dead_letters_allowed: false,
            declarations,
        }
    }

    /// Looks again for so long until nothing is in motion and nothing is wrong.
    pub fn waiting(self, wait: Duration) -> Options {
        Options { wait, ..self }
    }
}

/// Audits the shop. The report is the last round's, and so is the failure to read something.
pub async fn run(places: &Places, options: Options) -> Result<Report, Unreadable> {
    let databases = Databases::new(places);
    let deadline = Instant::now() + options.wait;
    loop {
        let round = round(&databases, &places.nats, &options).await;
        let done = round.as_ref().is_ok_and(|report| report.clean && report.is_quiet());
        let left = deadline.saturating_duration_since(Instant::now());
        if done || left.is_zero() {
            return round;
        }
        sleep(PAUSE.min(left)).await;
    }
}

async fn round(databases: &Databases, nats: &str, options: &Options) -> Result<Report, Unreadable> {
    let facts = read::all(databases, nats, options).await?;
    Ok(checks::all(&facts, options))
}
