//! Slows guessing: per account and per address, as counted by all replicas together.

use mesh_log::Database;
use sha2::{Digest as _, Sha256};

use super::Error;
use crate::{
    domain::Refusal,
    store::{self, Admission},
};

/// Slows guessing. Cheap to clone.
#[derive(Clone)]
pub struct Brake {
    db: Database,
    per_account: i32,
    per_address: i32,
}

/// An attempt that was counted, and may be made.
pub struct Attempt<'b> {
    brake: &'b Brake,
    account: Option<[u8; 32]>,
    address: [u8; 32],
}

impl Brake {
    /// Lets so many attempts fail before the next ones have to wait.
    pub fn new(db: Database, per_account: u16, per_address: u16) -> Self {
        Self { db, per_account: per_account.into(), per_address: per_address.into() }
    }

    /// Counts an attempt at `what` from `address`, at an account if there is one that is guessed.
    ///
    /// What is counted is known by digests: the table names nobody.
    pub async fn admit(
        &self,
        what: &str,
        account: Option<&str>,
        address: &str,
        fields: &'static [&'static str],
    ) -> Result<Attempt<'_>, Error> {
        let digest = |kind: &str, of: &str| -> [u8; 32] {
            Sha256::digest(format!("{what}\n{kind}\n{of}")).into()
        };
        let account = account.map(|account| digest("account", account));
        let address = digest("address", address);
        self.count(&address, self.per_address, fields).await?;
        if let Some(account) = &account {
            self.count(account, self.per_account, fields).await?;
        }
        Ok(Attempt { brake: self, account, address })
    }

    async fn count(
        &self,
        key: &[u8],
        free: i32,
        fields: &'static [&'static str],
    ) -> Result<(), Error> {
        match store::admit(self.db.pool(), key, free).await? {
            Admission::Admitted => Ok(()),
            Admission::Wait(wait) => Err(Refusal::TooManyAttempts { wait, fields }.into()),
        }
    }
}

impl Attempt<'_> {
    /// Notes that it succeeded. Whoever guesses from the same address at other accounts gains
    /// nothing by signing in to their own.
    pub async fn succeeded(self) -> Result<(), Error> {
        let Self { brake, account, address } = self;
        if let Some(account) = account {
            store::settle(brake.db.pool(), &account).await?;
        }
        Ok(store::give_back(brake.db.pool(), &address, brake.per_address).await?)
    }
}
