//! Pages of payments and of the ledger.

use mesh_rpc::{Fields, Invalid, Page, page_token};
use shop::{money, payments::v1 as proto};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{payment, state, timestamp};
use crate::domain::{Account, EntriesPage, Entry, Payment, PaymentsPage, State};

const MICRO: i128 = 1_000;

const STATES: [State; 7] = [
    State::Authorizing,
    State::Authorized,
    State::Declined,
    State::Capturing,
    State::Captured,
    State::Undoing,
    State::Undone,
];
const ACCOUNTS: [Account; 3] = [Account::Customer, Account::Held, Account::Shop];

pub(crate) fn list_payments(request: &proto::ListPaymentsRequest) -> Result<PaymentsPage, Invalid> {
    let mut fields = Fields::default();
    let order_id = given(&request.order_id).map(|id| fields.uuid("order_id", id));
    let wanted = STATES.into_iter().find(|it| i32::from(state(*it)) == request.state);
    if wanted.is_none() && request.state != 0 {
        fields.refuse("state", "ENUM_UNKNOWN", "must be a state of payments");
    }
    let mut page = PaymentsPage { order_id, state: wanted, after: None, size: 0 };
    let Page { after, size } =
        fields.page(&payments_query(&page), request.page_size, &request.page_token);
    page.size = size;
    page.after = after.as_deref().and_then(made_at);
    if after.is_some() && page.after.is_none() {
        fields.refuse_page_token();
    }
    fields.finish(page)
}

/// The answer to a list; `more` says that the list goes on after these.
pub(crate) fn payments_page(
    page: &PaymentsPage,
    payments: &[Payment],
    more: bool,
) -> proto::ListPaymentsResponse {
    let last = payments.last().filter(|_| more);
    let name = |it: &Payment| format!("{} {}", micros(it.create_time), it.id);
    let token = |it: &Payment| page_token(&payments_query(page), &name(it));
    let next_page_token = last.map(token).unwrap_or_default();
    let payments = payments.iter().map(payment).collect();
    proto::ListPaymentsResponse { payments, next_page_token }
}

pub(crate) fn list_ledger_entries(
    request: &proto::ListLedgerEntriesRequest,
) -> Result<EntriesPage, Invalid> {
    let mut fields = Fields::default();
    let payment_id = given(&request.payment_id).map(|id| fields.uuid("payment_id", id));
    let wanted = ACCOUNTS.into_iter().find(|it| i32::from(account(*it)) == request.account);
    if wanted.is_none() && request.account != 0 {
        fields.refuse("account", "ENUM_UNKNOWN", "must be an account of the ledger");
    }
    let mut page = EntriesPage { payment_id, account: wanted, after: None, size: 0 };
    let Page { after, size } =
        fields.page(&entries_query(&page), request.page_size, &request.page_token);
    page.size = size;
    page.after = after.as_deref().and_then(entered_as);
    if after.is_some() && page.after.is_none() {
        fields.refuse_page_token();
    }
    fields.finish(page)
}

/// The answer to a list; `more` says that the list goes on after these.
pub(crate) fn entries_page(
    page: &EntriesPage,
    entries: &[Entry],
    more: bool,
) -> proto::ListLedgerEntriesResponse {
    let last = entries.last().filter(|_| more);
    let account_of = |it: &Entry| account(it.posting.account);
    let name =
        |it: &Entry| format!("{} {} {}", it.payment_id, it.version, account_of(it).as_str_name());
    let token = |it: &Entry| page_token(&entries_query(page), &name(it));
    let next_page_token = last.map(token).unwrap_or_default();
    let entry = |it: &Entry| proto::LedgerEntry {
        payment_id: it.payment_id.to_string(),
        version: it.version,
        account: account_of(it).into(),
        amount: Some(money::to_wire(it.posting.amount)),
        create_time: Some(timestamp(it.create_time)),
    };
    let entries = entries.iter().map(entry).collect();
    proto::ListLedgerEntriesResponse { entries, next_page_token }
}

/// What a page token of this list is bound to.
fn payments_query(page: &PaymentsPage) -> String {
    let PaymentsPage { order_id, state, .. } = page;
    format!("shop.payments.v1.PaymentsService/ListPayments {order_id:?} {state:?}")
}

/// What a page token of this list is bound to.
fn entries_query(page: &EntriesPage) -> String {
    let EntriesPage { payment_id, account, .. } = page;
    format!("shop.payments.v1.PaymentsService/ListLedgerEntries {payment_id:?} {account:?}")
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A database's time has whole microseconds.
fn micros(time: OffsetDateTime) -> i128 {
    time.unix_timestamp_nanos() / MICRO
}

fn made_at(name: &str) -> Option<(OffsetDateTime, Uuid)> {
    let (micros, id) = name.split_once(' ')?;
    let nanos = micros.parse::<i128>().ok()?.checked_mul(MICRO)?;
    Some((OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?, id.parse().ok()?))
}

fn entered_as(name: &str) -> Option<(Uuid, i32, Account)> {
    let mut parts = name.split(' ');
    let (payment, version, named) = (parts.next()?, parts.next()?, parts.next()?);
    let account = ACCOUNTS.into_iter().find(|it| account(*it).as_str_name() == named)?;
    Some((payment.parse().ok()?, version.parse().ok()?, account))
}

fn account(account: Account) -> proto::LedgerAccount {
    match account {
        Account::Customer => proto::LedgerAccount::Customer,
        Account::Held => proto::LedgerAccount::Held,
        Account::Shop => proto::LedgerAccount::Shop,
    }
}
