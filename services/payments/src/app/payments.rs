//! The use cases. Each records what it means to do, asks the processor, records the answer, and
//! only then answers. A crash anywhere in between is repaired by repeating: the caller does it,
//! or the sweeper.

use std::sync::Arc;

use mesh_log::{Database, Gather};
use shop::money::Money;
use tracing::{field::display, info};
use uuid::Uuid;

use super::{Action, Command, Error, Writer};
use crate::{
    domain::{Payment, Refusal, Terms},
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
        card_token: String,
    ) -> Result<Payment, Error> {
        let payment = self.write(id, Action::Authorize { terms, card_token }).await?;
        let payment = self.settle(payment, None).await?;
        payment.authorization()?;
        Ok(payment)
    }

    /// Takes the whole amount that was reserved.
    pub async fn capture(&self, id: Uuid, key: Uuid, digest: [u8; 16]) -> Result<Payment, Error> {
        let payment = self.write(id, Action::Capture { key, digest }).await?;
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
    ) -> Result<Payment, Error> {
        let payment = self.write(id, Action::Refund { key, digest, amount }).await?;
        if payment.is_pending(key) { self.settle(payment, Some(key)).await } else { Ok(payment) }
    }

    /// The payment, if there is one.
    pub async fn get(&self, id: Uuid) -> Result<Payment, Error> {
        let mut connection = self.db.pool().acquire().await?;
        let payment = store::payments::get(&mut connection, id).await?;
        let mut payment = payment.ok_or(Refusal::NotFound)?;
        let mut pending = store::refunds::pending(&mut connection, &[id]).await?;
        payment.pending = pending.remove(&id).unwrap_or_default();
        Ok(payment)
    }

    /// Asks the processor whatever else the payment has open, whoever began it.
    pub(super) async fn settle_overdue(&self, id: Uuid) -> Result<Payment, Error> {
        let payment = self.get(id).await?;
        let refunds: Vec<Uuid> = payment.pending.iter().map(|refund| refund.id).collect();
        let mut settled = self.settle(payment, refunds.first().copied()).await;
        // One refund that is refused must not hold up the others.
        for refund in refunds.into_iter().skip(1) {
            let payment = self.get(id).await?;
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
            payment = self.write(payment.id, Action::Record { step, answer }).await?;
            let order_id = payment.terms.as_ref().map(|terms| display(terms.order_id));
            info!(payment_id = %payment.id, order_id, state = ?payment.state, "payment moved on");
        }
        Ok(payment)
    }

    async fn write(&self, payment_id: Uuid, action: Action) -> Result<Payment, Error> {
        Ok(self.writer.submit(Command::new(payment_id, action)).await??)
    }
}
