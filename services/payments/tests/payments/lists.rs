//! Lists to the end, while they grow.

use std::collections::BTreeMap;

use shop::{
    money,
    payments::v1::{
        LedgerAccount, LedgerEntry, ListLedgerEntriesRequest, ListPaymentsRequest, Payment,
        PaymentState,
    },
};
use tonic::Code;

use crate::till::{GOOD, Till, blame, euros, new_id, why};

impl Till {
    async fn authorized(&self, order_id: &str) -> String {
        let mut request = self.payment_by(GOOD).await;
        request.order_id = order_id.to_owned();
        self.authorize(&request).await.unwrap().payment_id
    }

    /// Tokens of the second pages of payments and of the ledger.
    async fn tokens(&self) -> (String, String) {
        for _ in 0..2 {
            self.authorized(&new_id()).await;
        }
        let request = ListPaymentsRequest { page_size: 1, ..ListPaymentsRequest::default() };
        let payments = self.list(request).await.unwrap().next_page_token;
        let request =
            ListLedgerEntriesRequest { page_size: 1, ..ListLedgerEntriesRequest::default() };
        let entries = self.ledger(request).await.unwrap().next_page_token;
        assert!(!payments.is_empty() && !entries.is_empty());
        (payments, entries)
    }

    /// All pages of so many; `between` is called after each.
    async fn all_payments(
        &self,
        filter: &ListPaymentsRequest,
        size: i32,
        between: impl AsyncFn(),
    ) -> Vec<Payment> {
        let mut request = ListPaymentsRequest { page_size: size, ..filter.clone() };
        let mut all = Vec::new();
        loop {
            let page = self.list(request.clone()).await.unwrap();
            assert!(page.payments.len() <= size as usize);
            all.extend(page.payments);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return all;
            }
            between().await;
        }
    }

    async fn all_entries(
        &self,
        filter: &ListLedgerEntriesRequest,
        size: i32,
        between: impl AsyncFn(),
    ) -> Vec<LedgerEntry> {
        let mut request = ListLedgerEntriesRequest { page_size: size, ..filter.clone() };
        let mut all = Vec::new();
        loop {
            let page = self.ledger(request.clone()).await.unwrap();
            assert!(page.entries.len() <= size as usize);
            all.extend(page.entries);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return all;
            }
            between().await;
        }
    }
}

async fn nothing() {}

fn ids(payments: &[Payment]) -> Vec<&str> {
    payments.iter().map(|payment| payment.payment_id.as_str()).collect()
}

#[tokio::test]
async fn payments_are_listed_newest_first_in_pages_of_any_size() {
    let till = Till::open().await;
    let mut made = Vec::new();
    for _ in 0..9 {
        made.insert(0, till.authorized(&new_id()).await);
    }
    let undone = new_id();
    till.undo(&undone).await.unwrap();
    made.insert(0, undone);

    for size in [1, 2, 3, 10, 1000] {
        let all = till.all_payments(&ListPaymentsRequest::default(), size, nothing).await;
        assert_eq!(ids(&all), made, "in pages of {size}");
        assert_eq!(all[3], till.get(&made[3]).await.unwrap());
    }
    let grows = async || drop(till.authorized(&new_id()).await);
    let all = till.all_payments(&ListPaymentsRequest::default(), 3, grows).await;
    assert_eq!(ids(&all), made, "what is new comes before the first page");
    till.close().await;
}

#[tokio::test]
async fn payments_are_listed_by_order_and_by_state() {
    let till = Till::open().await;
    let (order_id, other_order) = (new_id(), new_id());
    let mut of_order = Vec::new();
    for _ in 0..4 {
        of_order.insert(0, till.authorized(&order_id).await);
        till.authorized(&other_order).await;
    }
    let captured = &of_order[2];
    till.capture(captured, &new_id()).await.unwrap();
    till.undo(&of_order[0]).await.unwrap();
    let list = async |order_id: &str, state: PaymentState| {
        let (order_id, state) = (order_id.to_owned(), state.into());
        let filter = ListPaymentsRequest { order_id, state, ..ListPaymentsRequest::default() };
        till.all_payments(&filter, 2, nothing).await
    };

    let any = PaymentState::Unspecified;
    assert_eq!(ids(&list(&order_id, any).await), of_order);
    assert_eq!(ids(&list(&order_id, PaymentState::Authorized).await), [&of_order[1], &of_order[3]]);
    assert_eq!(ids(&list(&order_id, PaymentState::Captured).await), [captured]);
    assert_eq!(ids(&list("", PaymentState::Captured).await), [captured]);
    assert_eq!(ids(&list("", PaymentState::Undone).await), [&of_order[0]]);
    assert_eq!(list("", PaymentState::Authorized).await.len(), 6);
    assert!(list(&new_id(), any).await.is_empty());
    assert!(list("", PaymentState::Declined).await.is_empty());
    till.close().await;
}

#[tokio::test]
async fn the_ledger_is_listed_whole_and_sums_to_zero() {
    let till = Till::open().await;
    let mut payments = Vec::new();
    for part in [None, Some(euros(5, 0)), Some(euros(12, 50))] {
        let id = till.authorized(&new_id()).await;
        till.take_within(&id, &new_id(), part, None).await.unwrap();
        till.refund(&id, &new_id(), euros(1, 0)).await.unwrap();
        till.refund(&id, &new_id(), euros(2, 0)).await.unwrap();
        payments.push(id);
    }
    till.undo(&payments[1]).await.unwrap();
    payments.push(till.authorized(&new_id()).await);
    let whole = till.all_entries(&ListLedgerEntriesRequest::default(), 1000, nothing).await;

    // 4 movements of the first and the third, 5 of the second, which freed a rest; one of the last.
    assert_eq!(whole.len(), 8 + 11 + 8 + 2);
    assert_eq!(sum(&whole), 0);
    for size in [1, 3, 7] {
        let filter = ListLedgerEntriesRequest::default();
        assert_eq!(till.all_entries(&filter, size, nothing).await, whole, "in pages of {size}");
    }
    for payment_id in &payments {
        let filter = ListLedgerEntriesRequest {
            payment_id: payment_id.clone(),
            ..ListLedgerEntriesRequest::default()
        };
        let entries = till.all_entries(&filter, 2, nothing).await;
        let own: Vec<_> = whole.iter().filter(|it| it.payment_id == *payment_id).cloned().collect();
        assert_eq!(entries, own);
        assert!(entries.is_sorted_by_key(|it| (it.version, it.account)));
        for version in 1..=entries.last().unwrap().version {
            let movement = entries.iter().filter(|it| it.version == version);
            assert_eq!(sum(&movement.cloned().collect::<Vec<_>>()), 0, "a movement sums to zero");
        }
    }
    for (account, holds) in [
        (LedgerAccount::Customer, -12_50 - (9_50 + 9_50)),
        (LedgerAccount::Held, 12_50),
        (LedgerAccount::Shop, 9_50 + 9_50),
    ] {
        let account = account.into();
        let filter = ListLedgerEntriesRequest { account, ..ListLedgerEntriesRequest::default() };
        let entries = till.all_entries(&filter, 2, nothing).await;
        assert!(entries.iter().all(|it| it.account == account));
        assert_eq!(sum(&entries), holds);
        let payment_id = payments[3].clone();
        let both = ListLedgerEntriesRequest { payment_id, ..filter };
        let one = till.all_entries(&both, 9, nothing).await;
        assert!(one.iter().all(|it| it.payment_id == payments[3] && it.account == account));
    }
    till.close().await;
}

#[tokio::test]
async fn the_ledger_is_listed_while_it_grows_and_nothing_is_skipped() {
    let till = Till::open().await;
    for _ in 0..5 {
        till.authorized(&new_id()).await;
    }
    let filter = ListLedgerEntriesRequest::default();
    let before = till.all_entries(&filter, 1000, nothing).await;

    let grows = async || {
        let id = till.authorized(&new_id()).await;
        till.capture(&id, &new_id()).await.unwrap();
    };
    let paged = till.all_entries(&filter, 3, grows).await;

    let mut times = BTreeMap::new();
    for entry in &paged {
        let key = (&entry.payment_id, entry.version, entry.account);
        assert!(times.insert(key, ()).is_none(), "an entry comes twice: {entry:?}");
    }
    assert!(before.iter().all(|entry| paged.contains(entry)), "an entry is skipped");
    till.close().await;
}

#[tokio::test]
async fn a_list_of_payments_that_cannot_be_is_refused_by_the_name_of_its_field() {
    let till = Till::open().await;
    let refused = async |wrong: ListPaymentsRequest| {
        let refused = till.list(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        blame(refused)
    };
    let (token, other) = till.tokens().await;
    let right = ListPaymentsRequest::default;
    let with = |page_token: &str| ListPaymentsRequest { page_token: page_token.into(), ..right() };
    let malformed = why("PAGE_TOKEN_MALFORMED", "page_token");

    let wrong = ListPaymentsRequest { page_size: -1, ..right() };
    assert_eq!(refused(wrong).await, why("PAGE_SIZE_NEGATIVE", "page_size"));
    let wrong = ListPaymentsRequest { order_id: "7".into(), ..right() };
    assert_eq!(refused(wrong).await, why("UUID_MALFORMED", "order_id"));
    for state in [8, -1, i32::MAX] {
        let wrong = ListPaymentsRequest { state, ..right() };
        assert_eq!(refused(wrong).await, why("ENUM_UNKNOWN", "state"));
    }
    assert_eq!(refused(with("x")).await, malformed);
    assert_eq!(refused(with(&other)).await, malformed, "of another list");
    let state = PaymentState::Authorized.into();
    let filtered = ListPaymentsRequest { state, ..with(&token) };
    assert_eq!(refused(filtered).await, malformed, "of another filter");
    let filtered = ListPaymentsRequest { order_id: new_id(), ..with(&token) };
    assert_eq!(refused(filtered).await, malformed, "of another filter");
    till.close().await;
}

#[tokio::test]
async fn a_list_of_the_ledger_that_cannot_be_is_refused_by_the_name_of_its_field() {
    let till = Till::open().await;
    let refused = async |wrong: ListLedgerEntriesRequest| {
        let refused = till.ledger(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        blame(refused)
    };
    let (other, token) = till.tokens().await;
    let right = ListLedgerEntriesRequest::default;
    let with =
        |page_token: &str| ListLedgerEntriesRequest { page_token: page_token.into(), ..right() };
    let malformed = why("PAGE_TOKEN_MALFORMED", "page_token");

    let wrong = ListLedgerEntriesRequest { page_size: -1, ..right() };
    assert_eq!(refused(wrong).await, why("PAGE_SIZE_NEGATIVE", "page_size"));
    let wrong = ListLedgerEntriesRequest { payment_id: "7".into(), ..right() };
    assert_eq!(refused(wrong).await, why("UUID_MALFORMED", "payment_id"));
    for account in [4, -1, i32::MAX] {
        let wrong = ListLedgerEntriesRequest { account, ..right() };
        assert_eq!(refused(wrong).await, why("ENUM_UNKNOWN", "account"));
    }
    assert_eq!(refused(with("x")).await, malformed);
    assert_eq!(refused(with(&other)).await, malformed, "of another list");
    let account = LedgerAccount::Held.into();
    let filtered = ListLedgerEntriesRequest { account, ..with(&token) };
    assert_eq!(refused(filtered).await, malformed, "of another filter");
    let filtered = ListLedgerEntriesRequest { payment_id: new_id(), ..with(&token) };
    assert_eq!(refused(filtered).await, malformed, "of another filter");
    till.close().await;
}

/// Minor units; all are of one currency here.
fn sum(entries: &[LedgerEntry]) -> i64 {
    let amount = |it: &LedgerEntry| money::from_wire(it.amount.as_ref().unwrap()).unwrap().minor;
    entries.iter().map(amount).sum()
}
