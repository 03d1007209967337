//! Payments and a card processor, what a caller asks of them, and what an auditor checks.

use std::{collections::BTreeMap, net::SocketAddr, ops::Deref, time::Duration};

use mesh_runtime::{ServiceConfig, Started};
use mesh_testkit::Database;
use shop::{
    common::v1::Money,
    payments::v1::{
        AuthorizePaymentRequest, CapturePaymentRequest, GetPaymentRequest,
        ListLedgerEntriesRequest, ListLedgerEntriesResponse, ListPaymentsRequest,
        ListPaymentsResponse, Payment, Refund, RefundPaymentRequest, RefundState,
        UndoPaymentRequest, payments_service_client::PaymentsServiceClient,
    },
    processor::v1::{
        Charge, GetChargeRequest, TokenizeCardRequest, cards_service_client::CardsServiceClient,
        processor_service_client::ProcessorServiceClient,
    },
};
use sqlx::PgPool;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;
use uuid::Uuid;

pub const GOOD: &str = "4242 4242 4242 4242";
pub const LOSES_ANSWERS: &str = "4000 0000 0000 0341";
pub const LOSES_REQUESTS: &str = "4000 0000 0000 0358";
pub const SLOW: &str = "4000 0000 0000 0366";
pub const REFUSES_CAPTURE: &str = "4000 0000 0000 0374";
pub const REFUSES_FIRST_REFUND: &str = "4000 0000 0000 0382";

/// No sweeper within a test.
pub const NEVER: u32 = 600_000;
/// Nobody listens there: announcing waits, paying does not.
pub const NO_BROKER: &str = "nats://127.0.0.1:1";

/// What a caller and an auditor reach: payments, the processor, and both databases.
pub struct Books {
    payments: PaymentsServiceClient<Channel>,
    processor: Channel,
    pub db: PgPool,
    pub charges_db: PgPool,
}

/// Payments and the processor in this process.
pub struct Till {
    books: Books,
    own: Started,
    processor: Option<Started>,
    pub processor_addr: SocketAddr,
    processor_database: Database,
    pub database: Database,
}

impl Deref for Till {
    type Target = Books;

    fn deref(&self) -> &Books {
        &self.books
    }
}

impl Till {
    /// Payments that leave nothing to the sweeper.
    pub async fn open() -> Self {
        Self::open_sweeping_after(NEVER).await
    }

    /// Payments whose sweeper settles what waited this many milliseconds.
    pub async fn open_sweeping_after(settle_after_ms: u32) -> Self {
        let processor_database = Database::empty("processor", &processor::MIGRATIONS).await;
        let processor = start_processor(&processor_database, "127.0.0.1:0".parse().unwrap()).await;
        let database = Database::empty("payments", &payments::MIGRATIONS).await;
        let service = ServiceConfig {
            database_url: Some(database.url().parse().unwrap()),
            nats_url: Some(NO_BROKER.parse().unwrap()),
            discovery: format!("processor=static:{}", processor.grpc),
            ..ServiceConfig::default()
        };
        let config = payments::Config { service, settle_after_ms };
        let own = payments::start(config).await.unwrap();
        let pools = (database.pool().await, processor_database.pool().await);
        Self {
            books: Books::new(own.grpc, processor.grpc, pools.0, pools.1),
            own,
            processor_addr: processor.grpc,
            processor: Some(processor),
            processor_database,
            database,
        }
    }

    /// Takes the processor away.
    pub async fn stop_processor(&mut self) {
        let processor = self.processor.take().unwrap();
        processor.service.stop();
        processor.service.finish().await;
    }

    /// Brings the processor back to where it was.
    pub async fn start_processor(&mut self) {
        let started = start_processor(&self.processor_database, self.processor_addr).await;
        self.processor = Some(started);
    }

    /// Audits, then ends both services in order.
    pub async fn close(self) {
        self.audit().await;
        drop(self.books);
        self.own.service.stop();
        self.own.service.finish().await;
        if let Some(processor) = self.processor {
            processor.service.stop();
            processor.service.finish().await;
        }
    }
}

impl Books {
    pub fn new(
        payments: SocketAddr,
        processor: SocketAddr,
        db: PgPool,
        charges_db: PgPool,
    ) -> Self {
        let payments = PaymentsServiceClient::new(channel(payments));
        Self { payments, processor: channel(processor), db, charges_db }
    }

    /// A payment of 12.50 EUR by a new card with this number.
    pub async fn payment_by(&self, number: &str) -> AuthorizePaymentRequest {
        let mut cards = CardsServiceClient::new(self.processor.clone());
        let (request_id, card_number) = (new_id(), number.to_owned());
        let card =
            TokenizeCardRequest { request_id, card_number, expiry_month: 1, expiry_year: 2030 };
        let card_token = cards.tokenize_card(card).await.unwrap().into_inner().card_token;
        let (request_id, order_id) = (new_id(), new_id());
        AuthorizePaymentRequest { request_id, order_id, amount: Some(euros(12, 50)), card_token }
    }

    pub async fn authorize(&self, request: &AuthorizePaymentRequest) -> Result<Payment, Status> {
        self.authorize_within(request, None).await
    }

    pub async fn authorize_within(
        &self,
        request: &AuthorizePaymentRequest,
        time: Option<Duration>,
    ) -> Result<Payment, Status> {
        let request = within(request.clone(), time);
        let answer = self.payments.clone().authorize_payment(request).await?;
        Ok(answer.into_inner().payment.unwrap())
    }

    pub async fn capture(&self, payment: &str, key: &str) -> Result<Payment, Status> {
        self.capture_within(payment, key, None).await
    }

    pub async fn capture_within(
        &self,
        payment: &str,
        key: &str,
        time: Option<Duration>,
    ) -> Result<Payment, Status> {
        self.take_within(payment, key, None, time).await
    }

    /// Captures a part.
    pub async fn take(&self, payment: &str, key: &str, amount: Money) -> Result<Payment, Status> {
        self.take_within(payment, key, Some(amount), None).await
    }

    pub async fn take_within(
        &self,
        payment: &str,
        key: &str,
        amount: Option<Money>,
        time: Option<Duration>,
    ) -> Result<Payment, Status> {
        let (request_id, payment_id) = (key.to_owned(), payment.to_owned());
        let request = within(CapturePaymentRequest { request_id, payment_id, amount }, time);
        let answer = self.payments.clone().capture_payment(request).await?;
        Ok(answer.into_inner().payment.unwrap())
    }

    pub async fn undo(&self, payment: &str) -> Result<Payment, Status> {
        self.undo_within(payment, None).await
    }

    pub async fn undo_within(
        &self,
        payment: &str,
        time: Option<Duration>,
    ) -> Result<Payment, Status> {
        self.undo_by(payment, &new_id(), time).await
    }

    pub async fn undo_by(
        &self,
        payment: &str,
        key: &str,
        time: Option<Duration>,
    ) -> Result<Payment, Status> {
        let (request_id, payment_id) = (key.to_owned(), payment.to_owned());
        let request = within(UndoPaymentRequest { request_id, payment_id }, time);
        let answer = self.payments.clone().undo_payment(request).await?;
        Ok(answer.into_inner().payment.unwrap())
    }

    pub async fn refund(&self, payment: &str, key: &str, amount: Money) -> Result<Payment, Status> {
        self.refund_within(payment, key, amount, None).await
    }

    pub async fn refund_within(
        &self,
        payment: &str,
        key: &str,
        amount: Money,
        time: Option<Duration>,
    ) -> Result<Payment, Status> {
        let (request_id, payment_id) = (key.to_owned(), payment.to_owned());
        let amount = Some(amount);
        let request = within(RefundPaymentRequest { request_id, payment_id, amount }, time);
        let answer = self.payments.clone().refund_payment(request).await?.into_inner();
        let refund = answer.refund.unwrap();
        assert_eq!((refund.refund_id.as_str(), refund.payment_id.as_str()), (key, payment));
        assert_eq!(refund.state(), RefundState::Succeeded);
        Ok(answer.payment.unwrap())
    }

    pub async fn get(&self, payment: &str) -> Result<Payment, Status> {
        let request = GetPaymentRequest { payment_id: payment.to_owned() };
        Ok(self.payments.clone().get_payment(request).await?.into_inner().payment.unwrap())
    }

    pub async fn refunds(&self, payment: &str) -> Vec<Refund> {
        let request = GetPaymentRequest { payment_id: payment.to_owned() };
        self.payments.clone().get_payment(request).await.unwrap().into_inner().refunds
    }

    pub async fn list(&self, request: ListPaymentsRequest) -> Result<ListPaymentsResponse, Status> {
        Ok(self.payments.clone().list_payments(request).await?.into_inner())
    }

    pub async fn ledger(
        &self,
        request: ListLedgerEntriesRequest,
    ) -> Result<ListLedgerEntriesResponse, Status> {
        Ok(self.payments.clone().list_ledger_entries(request).await?.into_inner())
    }

    /// The processor's side of a payment.
    pub async fn charge(&self, payment: &str) -> Result<Charge, Status> {
        let mut processor = ProcessorServiceClient::new(self.processor.clone());
        let request = GetChargeRequest { charge_id: payment.to_owned() };
        Ok(processor.get_charge(request).await?.into_inner().charge.unwrap())
    }

    /// The names of what was announced about a payment, in order.
    pub async fn events(&self, payment: &str) -> Vec<String> {
        let rows: Vec<(String, i32)> =
            sqlx::query_as("SELECT type, version FROM log WHERE key = $1 AND public ORDER BY seq")
                .bind(payment.parse::<Uuid>().unwrap())
                .fetch_all(&self.db)
                .await
                .unwrap();
        assert!(rows.iter().map(|(_, version)| *version).eq(1..=rows.len() as i32), "{rows:?}");
        rows.into_iter().map(|(name, _)| name.replace("shop.payments.v1.", "")).collect()
    }

    /// How many rows payments' tables hold.
    pub async fn rows(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM payments) + (SELECT count(*) FROM refunds)
                  + (SELECT count(*) FROM requests) + (SELECT count(*) FROM ledger_entries)
                  + (SELECT count(*) FROM log)",
        )
        .fetch_one(&self.db)
        .await
        .unwrap()
    }

    /// What auditors check: both sides agree key by key, and the ledger sums to zero.
    pub async fn audit(&self) {
        let ours = amounts("SELECT * FROM audit_payments", &self.db).await;
        let theirs = amounts("SELECT * FROM audit_charges", &self.charges_db).await;
        assert_eq!(ours, theirs, "payments and the processor agree");
        let given = "SELECT refund_id, amount_minor FROM refunds";
        let ours_given = refunds(&format!("{given} WHERE done"), &self.db).await;
        let theirs_given = refunds(given, &self.charges_db).await;
        assert_eq!(ours_given, theirs_given, "refund by refund");
        let ledger: BTreeMap<String, i64> = sqlx::query_as::<_, (String, i64)>(
            "SELECT account, sum(amount_minor)::bigint FROM audit_ledger GROUP BY account",
        )
        .fetch_all(&self.db)
        .await
        .unwrap()
        .into_iter()
        .collect();
        let balance = |account: &str| ledger.get(account).copied().unwrap_or(0);
        assert_eq!(ledger.values().sum::<i64>(), 0, "{ledger:?}");
        assert_eq!(balance("held"), ours.values().map(|it| it.0).sum::<i64>());
        assert_eq!(balance("shop"), ours.values().map(|it| it.1 - it.2).sum::<i64>());
        let tokens: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM payments WHERE card_token IS NOT NULL AND state <> 'AUTHORIZING'",
        )
        .fetch_one(&self.db)
        .await
        .unwrap();
        assert_eq!(tokens, 0, "no token outlives the authorization");
    }
}

async fn start_processor(database: &Database, listen_addr: SocketAddr) -> Started {
    let database_url = Some(database.url().parse().unwrap());
    let service = ServiceConfig { database_url, listen_addr, ..ServiceConfig::default() };
    processor::start(processor::Config { service }).await.unwrap()
}

fn channel(addr: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{addr}")).unwrap().connect_lazy()
}

async fn refunds(query: &str, db: &PgPool) -> BTreeMap<Uuid, i64> {
    let query = sqlx::AssertSqlSafe(query.to_owned());
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(query).fetch_all(db).await.unwrap();
    rows.into_iter().collect()
}

/// Open, captured and refunded minor units by key, where there is anything.
async fn amounts(view: &'static str, db: &PgPool) -> BTreeMap<Uuid, (i64, i64, i64)> {
    use sqlx::Row as _;
    let rows = sqlx::query(view).fetch_all(db).await.unwrap();
    rows.iter()
        .map(|row| {
            let amounts =
                (row.get("authorized_minor"), row.get("captured_minor"), row.get("refunded_minor"));
            (row.get("key"), amounts)
        })
        .filter(|(_, amounts)| *amounts != (0, 0, 0))
        .collect()
}

fn within<T>(message: T, time: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(time) = time {
        request.set_timeout(time);
    }
    request
}

pub fn euros(units: i64, cents: i32) -> Money {
    Money { currency_code: "EUR".to_owned(), units, nanos: cents * 10_000_000 }
}

pub fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// Shorter than the slow card takes.
pub fn hurry() -> Option<Duration> {
    Some(Duration::from_millis(700))
}

/// The stable reason of a refusal.
pub fn reason(status: &Status) -> String {
    mesh_rpc::reason(status).unwrap_or_default()
}

/// The stable reason of a refusal, and the field that it blames.
pub fn blame(status: Status) -> (String, String) {
    let violations = status.get_details_bad_request().map(|it| it.field_violations);
    let field = violations.and_then(|it| Some(it.first()?.field.clone())).unwrap_or_default();
    (reason(&status), field)
}

pub fn why(reason: &str, field: &str) -> (String, String) {
    (reason.to_owned(), field.to_owned())
}

/// Fails unless the answer says that the outcome is not known yet.
pub fn assert_unknown(answer: Result<Payment, Status>) {
    let status = answer.unwrap_err();
    // On a busy machine the caller's own clock can be quicker than our answer.
    assert!(
        status.code() == Code::DeadlineExceeded
            || status.code() == Code::Cancelled
            || status.code() == Code::Unavailable && reason(&status) == "PAYMENT_OUTCOME_UNKNOWN",
        "{status:?}"
    );
}
