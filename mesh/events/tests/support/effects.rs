//! What the consuming service has done.

use std::{collections::HashMap, time::Duration};

use futures::FutureExt as _;
use mesh_events::{Consumer, ConsumerOptions, HandleError, Handler, transactional};
use mesh_testkit::Database;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Counted, Node, STREAM, migrations};

/// One effect: key, version, number, and the node that had it.
pub type Effect = (Uuid, i32, i32, String);

/// The consuming service's database.
pub struct Effects {
    pub database: Database,
    pub pool: PgPool,
}

impl Effects {
    pub async fn empty() -> Self {
        let database = Database::empty("effects", migrations()).await;
        let pool = database.pool().await;
        Self { database, pool }
    }

    /// Every effect, in the order in which they were had.
    pub async fn all(&self) -> Vec<Effect> {
        sqlx::query_as("SELECT key, version, number, node FROM effects ORDER BY n")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    pub async fn count(&self) -> i64 {
        self.scalar("SELECT count(*) FROM effects").await
    }

    pub async fn dead_letters(&self) -> i64 {
        self.scalar("SELECT count(*) FROM dead_letters").await
    }

    pub async fn scalar(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }

    /// Versions per key, in the order in which they took effect.
    pub async fn versions(&self) -> HashMap<Uuid, Vec<i32>> {
        let mut versions: HashMap<_, Vec<_>> = HashMap::new();
        for (key, version, ..) in self.all().await {
            versions.entry(key).or_default().push(version);
        }
        versions
    }
}

impl Node {
    /// A handler that has one effect per event, under the name `tag`.
    pub fn counting(&self, tag: &'static str) -> impl Handler + use<> {
        transactional(&self.db, "count", move |tx, event| {
            async move {
                let counted: Counted = event.decode()?;
                sqlx::query(
                    "INSERT INTO effects (key, version, number, node) VALUES ($1, $2, $3, $4)",
                )
                .bind(event.key)
                .bind(event.version)
                .bind(counted.number)
                .bind(tag)
                .execute(tx)
                .await?;
                Ok::<_, HandleError>(())
            }
            .boxed()
        })
    }

    /// Consumes everything with `handler`.
    pub fn consume(&self, handler: impl Handler) -> Consumer {
        // What is not acknowledged comes back soon, so that takeovers take no longer.
        let options =
            ConsumerOptions { ack_wait: Duration::from_secs(1), ..ConsumerOptions::default() };
        self.consume_with(handler, options)
    }

    pub fn consume_with(&self, handler: impl Handler, options: ConsumerOptions) -> Consumer {
        self.run(|node| {
            let (service, db, nats) = (&node.service, &node.db, &node.nats);
            Consumer::start_with(service, db, nats, STREAM, super::SUBJECTS, handler, options)
        })
    }

    /// Publishes this node's log.
    pub fn relay(&self) {
        self.run(|node| mesh_events::Relay::start(&node.service, &node.db, &node.nats, STREAM));
    }
}
