//! Runs commands on charges, and answers in the manner of the card.

use std::time::Duration;

use mesh_log::{Database, Gather};
use mesh_rpc::Deadline;
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    Command, Error, Writer,
    writer::{Manner, Outcome},
};
use crate::{
    domain::{Charge, Refusal},
    store,
};

/// How long a caller whose answer is lost is kept waiting before it learns that nothing comes.
const LOST_AFTER: Duration = Duration::from_millis(500);
/// How long the slow card takes.
const SLOW: Duration = Duration::from_secs(2);

/// The charges.
pub struct Charges {
    db: Database,
    writer: Gather<Writer>,
}

impl Charges {
    pub fn new(db: Database, writer: Gather<Writer>) -> Self {
        Self { db, writer }
    }

    /// Carries out a command and returns the charge as it is then.
    pub async fn run(&self, command: Command) -> Result<Charge, Error> {
        let Outcome { result, manner } = self.writer.submit(command).await?;
        match manner {
            Manner::Prompt => {}
            Manner::Slow => sleep(SLOW).await,
            Manner::Lost => {
                let left = Deadline::current().map_or(LOST_AFTER, |deadline| deadline.remaining());
                sleep(left.min(LOST_AFTER)).await;
                return Err(Error::AnswerLost);
            }
        }
        Ok(result?)
    }

    /// The charge, if there is one.
    pub async fn get(&self, id: Uuid) -> Result<Charge, Error> {
        let charge = store::charges::get(self.db.pool(), id).await?;
        Ok(charge.ok_or(Refusal::NotFound)?)
    }
}
