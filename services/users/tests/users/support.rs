//! The users service in this process, on a database of its own.
//!
//! Unless a test brings one, no broker answers it. What it tells others is in its log, and the relay
//! is proven elsewhere.

use std::sync::Arc;

use mesh_auth::{Jwks, Refused, User as Shown, Verifier};
use mesh_rpc::{Channel, Discovery};
use mesh_runtime::{Secret, Service, ServiceConfig};
use mesh_testkit::Database;
use shop::users::v1::{
    GetKeysRequest, GetMailRequest, GetUserRequest, GrantRoleRequest, Mail, RefreshSessionRequest,
    RefreshSessionResponse, RegisterUserRequest, RevokeRoleRequest, SignInRequest, SignInResponse,
    SignOutRequest, User, roles_service_client::RolesServiceClient,
    sessions_service_client::SessionsServiceClient, users_service_client::UsersServiceClient,
};
use sqlx::PgPool;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use users::Config;
use uuid::Uuid;

pub const PASSWORD: &str = "correct horse battery";

/// A running service, its clients, and a hand on its tables.
pub struct Users {
    pub accounts: UsersServiceClient<Channel>,
    pub sessions: SessionsServiceClient<Channel>,
    pub roles: RolesServiceClient<Channel>,
    pub pool: PgPool,
    service: Service,
    database: Arc<Database>,
}

impl Users {
    pub async fn start() -> Self {
        Self::start_with(|config| config).await
    }

    pub async fn start_with(adjust: impl FnOnce(Config) -> Config) -> Self {
        let database = Database::empty("users", &users::MIGRATIONS).await;
        Self::start_on(Arc::new(database), adjust).await
    }

    /// One more replica, on the same database.
    pub async fn another(&self) -> Self {
        self.another_with(|config| config).await
    }

    /// One more replica, which is configured in its own way.
    pub async fn another_with(&self, adjust: impl FnOnce(Config) -> Config) -> Self {
        Self::start_on(Arc::clone(&self.database), adjust).await
    }

    /// Why one more replica does not start.
    pub async fn refuses_to_start(&self, adjust: impl FnOnce(Config) -> Config) -> String {
        let started = users::start(adjust(Config::new(config(&self.database)))).await;
        let Err(error) = started else { panic!("it starts") };
        format!("{error:#}")
    }

    async fn start_on(database: Arc<Database>, adjust: impl FnOnce(Config) -> Config) -> Self {
        let started = users::start(adjust(Config::new(config(&database)))).await.unwrap();
        let place = format!("users=static:{}", started.grpc).parse::<Discovery>().unwrap();
        let channel = || place.channel(&started.service, "users").unwrap();
        Self {
            accounts: UsersServiceClient::new(channel()),
            sessions: SessionsServiceClient::new(channel()),
            roles: RolesServiceClient::new(channel()),
            pool: database.pool().await,
            service: started.service.clone(),
            database,
        }
    }

    pub async fn register(&self, request: RegisterUserRequest) -> Result<User, Status> {
        let answer = self.accounts.clone().register_user(request).await?;
        Ok(answer.into_inner().user.unwrap())
    }

    /// Somebody new.
    pub async fn person(&self) -> User {
        self.register(person()).await.unwrap()
    }

    pub async fn get(&self, user_id: &str) -> Result<User, Status> {
        let request = GetUserRequest { user_id: user_id.to_owned() };
        let answer = self.accounts.clone().get_user(request).await?;
        Ok(answer.into_inner().user.unwrap())
    }

    pub async fn sign_in(&self, request: SignInRequest) -> Result<SignInResponse, Status> {
        Ok(self.sessions.clone().sign_in(request).await?.into_inner())
    }

    /// A new session of the person.
    pub async fn session(&self, user: &User) -> SignInResponse {
        self.sign_in(sign_in(&user.email)).await.unwrap()
    }

    pub async fn refresh(&self, token: &str) -> Result<RefreshSessionResponse, Status> {
        let request = RefreshSessionRequest { refresh_token: token.to_owned() };
        Ok(self.sessions.clone().refresh_session(request).await?.into_inner())
    }

    pub async fn sign_out(&self, user_id: &str, session_id: &str) -> Result<(), Status> {
        let request = SignOutRequest {
            request_id: uuid(),
            user_id: user_id.to_owned(),
            session_id: session_id.to_owned(),
        };
        self.sessions.clone().sign_out(request).await.map(drop)
    }

    pub async fn grant(&self, user_id: &str, role: &str) -> Result<(), Status> {
        let (user_id, role) = (user_id.to_owned(), role.to_owned());
        let request = GrantRoleRequest { request_id: uuid(), user_id, role };
        self.roles.clone().grant_role(request).await.map(drop)
    }

    pub async fn revoke(&self, user_id: &str, role: &str) -> Result<(), Status> {
        let (user_id, role) = (user_id.to_owned(), role.to_owned());
        let request = RevokeRoleRequest { request_id: uuid(), user_id, role };
        self.roles.clone().revoke_role(request).await.map(drop)
    }

    pub async fn mail(&self, mail_id: &str) -> Result<Mail, Status> {
        let request = GetMailRequest { mail_id: mail_id.to_owned() };
        let answer = self.accounts.clone().get_mail(request).await?;
        Ok(answer.into_inner().mail.unwrap())
    }

    /// The keys that the service publishes.
    pub async fn keys(&self) -> Jwks {
        let answer = self.sessions.clone().get_keys(GetKeysRequest {}).await.unwrap().into_inner();
        let keys = answer.keys.iter().map(|key| {
            let (kid, x) = (&key.kid, &key.x);
            format!(r#"{{"kty":"{}","crv":"{}","kid":"{kid}","x":"{x}"}}"#, key.kty, key.crv)
        });
        let set = format!(r#"{{"keys":[{}]}}"#, keys.collect::<Vec<_>>().join(","));
        Jwks::from_json(set.as_bytes()).unwrap()
    }

    /// Who a service takes the bearer of this token for, if nobody tells it what is revoked.
    pub async fn shown(&self, token: &str) -> Result<Arc<Shown>, Refused> {
        let verifier = verifier();
        verifier.replace_keys(&self.keys().await);
        verifier.verify(&format!("Bearer {token}"))
    }

    /// What others are told of an account, by the short names of the events, in their order.
    pub async fn events(&self, user_id: &str) -> Vec<String> {
        let told: Vec<(i32, String)> = sqlx::query_as(
            "SELECT version, replace(type, 'shop.users.v1.', '')
             FROM log WHERE key = $1 AND public ORDER BY seq",
        )
        .bind(user_id.parse::<Uuid>().unwrap())
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let versions: Vec<_> = told.iter().map(|(version, _)| *version).collect();
        assert!(versions.iter().copied().eq((1..).take(versions.len())), "{versions:?}");
        told.into_iter().map(|(_, name)| name).collect()
    }

    pub async fn run(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.pool).await.unwrap();
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.service.stop();
    }
}

fn config(database: &Database) -> ServiceConfig {
    let secret = |url: &str| url.parse::<Secret>().ok();
    ServiceConfig {
        database_url: secret(database.url()),
        nats_url: secret("nats://127.0.0.1:9"),
        log_level: "off".to_owned(),
        ..ServiceConfig::default()
    }
}

/// Who verifies tokens as all services do by default.
pub fn verifier() -> Verifier {
    Verifier::new("https://users.mesh.local", "mesh")
}

pub fn person() -> RegisterUserRequest {
    RegisterUserRequest {
        request_id: uuid(),
        email: format!("{}@example.com", uuid()),
        password: PASSWORD.to_owned(),
        name: "Ada Lovelace".to_owned(),
        language: "en".to_owned(),
    }
}

pub fn sign_in(email: &str) -> SignInRequest {
    SignInRequest {
        request_id: uuid(),
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        device: "a browser".to_owned(),
    }
}

/// Asserts that a status has this code and reason, and blames these fields and no others.
#[track_caller]
pub fn refused(status: &Status, code: Code, why: &str, fields: &[&str]) {
    let reason = mesh_rpc::reason(status).unwrap_or_default();
    assert_eq!((status.code(), reason.as_str()), (code, why), "{status:?}");
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
    let violations = violations.unwrap_or_default();
    let blamed: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(blamed, fields, "{status:?}");
}

pub fn uuid() -> String {
    Uuid::now_v7().to_string()
}
