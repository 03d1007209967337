//! The databases fail, and so do callers and processes in the middle of using them.

mod cancelled_calls;
mod corrections;
mod migrations;
mod outages;
mod races;
mod released;

use std::net::SocketAddr;

use mesh_testkit::{Platform, eventually};
use sqlx::{PgConnection, PgPool};
use tonic::transport::{Channel, Endpoint};

use crate::callers;

/// A channel to one replica.
fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// The same for a service of a platform, as whoever may call it.
fn signed(platform: &Platform, service: &str, address: SocketAddr) -> callers::Channel {
    callers::Channel::to(platform, service, format!("http://{address}"))
}

async fn connect(url: &str) -> PgConnection {
    use sqlx::Connection as _;
    PgConnection::connect(url).await.unwrap()
}

/// Waits until so many sessions of a database wait for locks.
pub async fn blocked(watcher: &PgPool, sessions: i64) {
    eventually(&format!("{sessions} sessions to wait for a lock"), async || {
        sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(watcher)
        .await
        .unwrap()
            >= sessions
    })
    .await;
}
