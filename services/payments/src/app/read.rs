//! What is known already; nobody is asked.

use uuid::Uuid;

use super::{Error, Payments};
use crate::{
    domain::{EntriesPage, Entry, Given, Payment, PaymentsPage, Refusal},
    store,
};

impl Payments {
    /// The payment with its refunds, the oldest first.
    pub async fn get(&self, id: Uuid) -> Result<(Payment, Vec<Given>), Error> {
        let found = store::payments::get(self.db.pool(), id).await?;
        Ok(found.ok_or(Refusal::NotFound)?)
    }

    /// A page of payments, and whether the list goes on behind it.
    pub async fn list(&self, page: &PaymentsPage) -> Result<(Vec<Payment>, bool), Error> {
        let listed = store::payments::list(self.db.pool(), page).await?;
        Ok(cut(listed, page.size))
    }

    /// A page of the ledger, and whether it goes on behind it.
    pub async fn entries(&self, page: &EntriesPage) -> Result<(Vec<Entry>, bool), Error> {
        let listed = store::ledger::list(self.db.pool(), page).await?;
        Ok(cut(listed, page.size))
    }
}

fn cut<T>(mut listed: Vec<T>, size: usize) -> (Vec<T>, bool) {
    let more = listed.len() > size;
    listed.truncate(size);
    (listed, more)
}
