//! Which part of a list is wanted.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Account, State};

/// A page of payments, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentsPage {
    pub order_id: Option<Uuid>,
    pub state: Option<State>,
    /// When the last one of the page before was made, and its id.
    pub after: Option<(OffsetDateTime, Uuid)>,
    pub size: usize,
}

/// A page of the ledger, in the order of payment, version and account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntriesPage {
    pub payment_id: Option<Uuid>,
    pub account: Option<Account>,
    /// The last one of the page before.
    pub after: Option<(Uuid, i32, Account)>,
    pub size: usize,
}
