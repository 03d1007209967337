//! A processor, and what its callers say: the one of this crate in this process, or the program that the
//! variable `PROCESSOR` names, in whatever language, which then has to behave the same.

use std::net::SocketAddr;
use std::process::{Child, Command};

use mesh_runtime::{ServiceConfig, Started};
use mesh_testkit::{Database, eventually};
use processor::Config;
use shop::{
    common::v1::Money,
    processor::v1::{
        AuthorizeChargeRequest, CaptureChargeRequest, Charge, GetChargeRequest,
        RefundChargeRequest, TokenizeCardRequest, TokenizeCardResponse, VoidChargeRequest,
        cards_service_client::CardsServiceClient, processor_service_client::ProcessorServiceClient,
    },
};
use sqlx::PgPool;
use tonic::{Status, transport::Channel};
use uuid::Uuid;

/// The program to try in place of ours, with its arguments.
const OTHER: &str = "PROCESSOR";

/// Approved.
pub const GOOD: &str = "4242 4242 4242 4242";

pub struct Sandbox {
    pub cards: CardsServiceClient<Channel>,
    pub charges: ProcessorServiceClient<Channel>,
    pub db: PgPool,
    running: Running,
    _database: Database,
}

enum Running {
    Ours(Started),
    Other(Other),
}

/// Killed when dropped.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts a processor on this database.
    async fn start(database_url: &str) -> (Self, SocketAddr) {
        if let Ok(command) = std::env::var(OTHER) {
            return Self::other(&command, database_url).await;
        }
        let database_url = Some(database_url.parse().unwrap());
        let service = ServiceConfig { database_url, ..ServiceConfig::default() };
        let started = processor::start(Config { service }).await.unwrap();
        let grpc = started.grpc;
        (Self::Ours(started), grpc)
    }

    async fn other(command: &str, database_url: &str) -> (Self, SocketAddr) {
        let [grpc, admin] =
            [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], mesh_local::free_port().unwrap())));
        let mut words = command.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).env("DATABASE_URL", database_url);
        command.env("LISTEN_ADDR", grpc.to_string()).env("ADMIN_ADDR", admin.to_string());
        let other = Other(command.spawn().unwrap());
        eventually("the other processor to be ready", async || {
            mesh_local::http::is_ok(admin, "/readyz").await.then_some(())
        })
        .await;
        (Self::Other(other), grpc)
    }
}

impl Sandbox {
    pub async fn start() -> Self {
        let database = Database::empty("processor", &processor::MIGRATIONS).await;
        let (running, grpc) = Running::start(database.url()).await;
        let uri = format!("http://{grpc}");
        let channel = Channel::from_shared(uri).unwrap().connect().await.unwrap();
        Self {
            cards: CardsServiceClient::new(channel.clone()),
            charges: ProcessorServiceClient::new(channel),
            db: database.pool().await,
            running,
            _database: database,
        }
    }

    /// Ends the service in order.
    pub async fn stop(self) {
        drop((self.cards, self.charges));
        match self.running {
            Running::Ours(started) => {
                started.service.stop();
                started.service.finish().await;
            }
            Running::Other(other) => drop(other),
        }
    }

    pub async fn tokenize(
        &self,
        request: TokenizeCardRequest,
    ) -> Result<TokenizeCardResponse, Status> {
        Ok(self.cards.clone().tokenize_card(request).await?.into_inner())
    }

    /// The token of a card with this number.
    pub async fn token(&self, number: &str) -> String {
        self.tokenize(card(number)).await.unwrap().card_token
    }

    /// A charge of 12.50 EUR on a new card with this number.
    pub async fn charge_on(&self, number: &str) -> AuthorizeChargeRequest {
        let card_token = self.token(number).await;
        AuthorizeChargeRequest { request_id: new_id(), card_token, amount: Some(euros(12, 50)) }
    }

    pub async fn authorize(&self, request: &AuthorizeChargeRequest) -> Result<Charge, Status> {
        let answer = self.charges.clone().authorize_charge(request.clone()).await?;
        Ok(answer.into_inner().charge.unwrap())
    }

    pub async fn capture(&self, charge_id: &str, request_id: &str) -> Result<Charge, Status> {
        let (charge_id, request_id) = (charge_id.to_owned(), request_id.to_owned());
        self.take(CaptureChargeRequest { request_id, charge_id, amount: None }).await
    }

    /// Captures what the request says.
    pub async fn take(&self, request: CaptureChargeRequest) -> Result<Charge, Status> {
        Ok(self.charges.clone().capture_charge(request).await?.into_inner().charge.unwrap())
    }

    pub async fn void(&self, charge_id: &str) -> Result<Charge, Status> {
        let request = VoidChargeRequest { request_id: new_id(), charge_id: charge_id.to_owned() };
        Ok(self.charges.clone().void_charge(request).await?.into_inner().charge.unwrap())
    }

    pub async fn refund(
        &self,
        charge_id: &str,
        request_id: &str,
        amount: Money,
    ) -> Result<Charge, Status> {
        let (charge_id, request_id) = (charge_id.to_owned(), request_id.to_owned());
        let request = RefundChargeRequest { request_id, charge_id, amount: Some(amount) };
        Ok(self.charges.clone().refund_charge(request).await?.into_inner().charge.unwrap())
    }

    pub async fn get(&self, charge_id: &str) -> Result<Charge, Status> {
        let request = GetChargeRequest { charge_id: charge_id.to_owned() };
        Ok(self.charges.clone().get_charge(request).await?.into_inner().charge.unwrap())
    }

    /// How many rows the service's tables hold.
    pub async fn rows(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM charges) + (SELECT count(*) FROM refunds)
                  + (SELECT count(*) FROM requests) + (SELECT count(*) FROM lost_answers)",
        )
        .fetch_one(&self.db)
        .await
        .unwrap()
    }
}

pub fn card(number: &str) -> TokenizeCardRequest {
    let (request_id, card_number) = (new_id(), number.to_owned());
    TokenizeCardRequest { request_id, card_number, expiry_month: 12, expiry_year: 2040 }
}

pub fn euros(units: i64, cents: i32) -> Money {
    Money { currency_code: "EUR".to_owned(), units, nanos: cents * 10_000_000 }
}

pub fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// The stable reason of a refusal.
pub fn reason(status: &Status) -> String {
    mesh_rpc::reason(status).unwrap_or_default()
}

/// Why a request is refused, and the field to blame.
pub fn blame(status: &Status) -> (String, String) {
    (reason(status), field(status))
}

pub fn why(reason: &str, field: &str) -> (String, String) {
    (reason.to_owned(), field.to_owned())
}

/// The field that a refusal is about.
pub fn field(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    let violation = status.get_details_bad_request();
    violation.and_then(|it| Some(it.field_violations.first()?.field.clone())).unwrap_or_default()
}
