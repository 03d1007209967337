//! The use cases. Each records what it means to do, asks the processor, records the answer, and
//! only then answers. A crash anywhere in between is repaired by repeating: the caller does it,
//! or the sweeper.

use std::sync::Arc;

use mesh_log::{Database, Gather};
use shop::money::Money;
use tracing::{error, field::display, info};
use uuid::Uuid;

use super::{Action, Command, Error, Writer};
use crate::{
    domain::{CardToken, Given, Payment, Terms},
    processor::Processor,
    store,
};

/// The payments. Cheap to clone.
#[derive(Clone)]
pub struct Payments {
    pub(super) db: Database,
    writer: Gather<Writer>,
    processor: Arc<Processor>,
}

impl Payments {
    pub fn new(db: Database, writer: Gather<Writer>, processor: Processor) -> Self {
        Self { db, writer, processor: Arc::new(processor) }
    }

    /// Reserves an amount on a card.
    pub async fn authorize(
        &self,
        id: Uuid,
        terms: Terms,
        card_token: CardToken,
    ) -> Result<Payment, Error> {
        let payment = self.write(id, Action::Authorize { terms, card_token }).await?;
        let payment = self.settle(payment, None).await?;
        payment.authorization()?;
        Ok(payment)
    }

    /// Takes the amount that was reserved, or this part of it.
    pub async fn capture(
        &self,
        id: Uuid,
        key: Uuid,
        digest: [u8; 16],
        part: Option<Money>,
    ) -> Result<Payment, Error> {
        let payment = self.write(id, Action::Capture { key, digest, part }).await?;
        let payment = self.settle(payment, None).await?;
        payment.captured(key)?;
        Ok(payment)
    }

    /// Makes a payment as if it had never been.
    pub async fn undo(&self, id: Uuid, key: Uuid, digest: [u8; 16]) -> Result<Payment, Error> {
        let payment = self.write(id, Action::Undo { key, digest }).await?;
        self.settle(payment, None).await
    }

    /// Gives back some or all of what was taken.
    pub async fn refund(
        &self,
        id: Uuid,
        key: Uuid,
        digest: [u8; 16],
        amount: Money,
    ) -> Result<(Payment, Option<Given>), Error> {
        let mut payment = self.write(id, Action::Refund { key, digest, amount }).await?;
        if payment.is_pending(key) {
            payment = self.settle(payment, Some(key)).await?;
        }
        Ok((payment, store::refunds::get(self.db.pool(), key).await?))
    }

    /// Asks the processor whatever else the payment has open, whoever began it.
    pub(super) async fn settle_overdue(&self, id: Uuid) -> Result<Payment, Error> {
        let (payment, _) = self.get(id).await?;
        let refunds: Vec<Uuid> = payment.pending.iter().map(|refund| refund.id).collect();
        let mut settled = self.settle(payment, refunds.first().copied()).await;
        // One refund that is refused must not hold up the others.
        for refund in refunds.into_iter().skip(1) {
            let (payment, _) = self.get(id).await?;
            settled = self.settle(payment, Some(refund)).await.and(settled);
        }
        settled
    }

    /// Asks the processor until the step that is open has its outcome.
    async fn settle(&self, mut payment: Payment, refund: Option<Uuid>) -> Result<Payment, Error> {
        let step = payment.step();
        while payment.step() == step
            && let Some(call) = payment.next_call(refund)
        {
            let answer = self.processor.ask(payment.id, &call, step).await?;
            let before = payment.clone();
            payment = self.write(payment.id, Action::Record { step, answer }).await?;
            if payment == before {
                error!(payment_id = %payment.id, step, ?call, "the answer cannot be");
                return Err(Error::OutcomeUnknown);
            }
            let order_id = payment.terms.as_ref().map(|terms| display(terms.order_id));
            info!(payment_id = %payment.id, order_id, state = ?payment.state, "payment moved on");
        }
        Ok(payment)
    }

    async fn write(&self, payment_id: Uuid, action: Action) -> Result<Payment, Error> {
        Ok(self.writer.submit(Command::new(payment_id, action)).await??.payment)
    }
}
