//! Knows who has an account, and signs them in: `shop.users.v1`.
//!
//! `api` translates calls, `app` runs them, `domain` decides, `store` holds the SQL, `tell` lets
//! verifiers of tokens know what is revoked, `turn` by which keys tokens are signed.

mod api;
mod app;
mod config;
mod domain;
mod events;
mod store;
mod tell;
mod turn;
mod wire;

use std::{sync::Arc, time::Duration};

use mesh_auth::{Passwords, Stamps};
use mesh_events::Relay;
use mesh_log::Database;
use mesh_rpc::{Identity, Server, access::Access, policy::LivePolicy};
use mesh_runtime::{Service, Started};
use shop::users::v1::{
    roles_service_server::RolesServiceServer, sessions_service_server::SessionsServiceServer,
    users_service_server::UsersServiceServer,
};
use time::OffsetDateTime;
use tokio::{sync::Notify, time::sleep};

use crate::app::{App, Brake, Keys};

pub use config::Config;

/// The schema of this service's database.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// How often what has had no effect for long is removed.
const HOUSEKEEPING: Duration = Duration::from_secs(20);

/// Starts the service; it serves when this returns.
pub async fn start(config: Config) -> anyhow::Result<Started> {
    let service = Service::begin("users", &config.service).await?;
    let policy = LivePolicy::of_service(&service, &config.service, &[shop::DESCRIPTORS])?;
    let identity = Identity::of_service(&service, &config.service)?;
    let access = Access::of_service(&service, &config.service, &identity, shop::DECLARATIONS)?;
    let db = mesh_log::connect(&service, &config.service, &MIGRATIONS).await?;
    let nats = mesh_events::connect(&service, &config.service).await?;
    nats.follow_revocations(&service, &access);
    nats.follow_keys(&service, &access);
    Relay::start(&service, &db, &nats, "users");

    let app = App {
        passwords: Passwords::new(config.passwords_at_once.into())?,
        stamps: Stamps::new(&app::secret(&db).await?),
        keys: Arc::new(Keys::open(&db, &config).await?),
        brake: Brake::new(
            db.clone(),
            config.free_attempts_per_account,
            config.free_attempts_per_address,
        ),
        revoked: Arc::new(Notify::new()),
        db: db.clone(),
    };
    tell::start(&service, &db, &nats, Arc::clone(&app.revoked));
    turn::start(&service, &db, &nats, &app.keys);
    keep_house(&service, &db);
    let grpc = Server::new(&service, &[shop::DESCRIPTORS])
        .policy(&policy)
        .identity(&identity)
        .access(&access)
        .add(UsersServiceServer::new(api::Users { app: app.clone() }))
        .add(SessionsServiceServer::new(api::Sessions { app: app.clone() }))
        .add(RolesServiceServer::new(api::Roles { app }))
        .serve(config.service.listen_addr)
        .await?;
    Ok(Started { service, grpc })
}

fn keep_house(service: &Service, db: &Database) {
    let (db, stopped) = (db.clone(), service.stopped());
    service.spawn("housekeeping", async move {
        while stopped.run_until_cancelled(sleep(HOUSEKEEPING)).await.is_some() {
            if let Err(error) = store::sweep(db.pool(), OffsetDateTime::now_utc()).await {
                tracing::warn!(%error, "old rows not removed");
            }
        }
    });
}
