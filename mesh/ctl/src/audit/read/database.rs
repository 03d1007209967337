//! The databases, each read at one moment.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    Connection as _, FromRow, PgConnection,
    postgres::{PgArguments, PgConnectOptions, PgRow, Postgres},
    query::QueryAs,
};
use tokio::sync::Mutex;

use super::super::{Places, Unreadable};

/// How long a database may take to let us in.
const PATIENCE: Duration = Duration::from_secs(10);

/// Every database that the auditor reads.
#[derive(Debug)]
pub struct Databases {
    pub orders: Database,
    pub payments: Database,
    pub processor: Database,
    pub inventory: Database,
    pub shipping: Database,
    pub catalog: Database,
    /// Only for its log; none in a shop without accounts.
    pub users: Option<Database>,
}

impl Databases {
    pub fn new(places: &Places) -> Databases {
        Databases {
            orders: Database::new("orders", &places.orders),
            payments: Database::new("payments", &places.payments),
            processor: Database::new("processor", &places.processor),
            inventory: Database::new("inventory", &places.inventory),
            shipping: Database::new("shipping", &places.shipping),
            catalog: Database::new("catalog", &places.catalog),
            users: places.users.as_ref().map(|url| Database::new("users", url)),
        }
    }

    /// Those of which more than the log is read.
    pub fn all(&self) -> [&Database; 6] {
        let Self { orders, payments, processor, inventory, shipping, catalog, users: _ } = self;
        [orders, payments, processor, inventory, shipping, catalog]
    }

    /// Those that have a log.
    pub fn logs(&self) -> impl Iterator<Item = &Database> {
        self.all().into_iter().chain(&self.users)
    }
}

/// The database of a service. Keeps a connection: to be let in is the dearest part of a short look.
#[derive(Debug)]
pub struct Database {
    pub service: &'static str,
    url: String,
    idle: Mutex<Option<PgConnection>>,
}

impl Database {
    fn new(service: &'static str, url: &str) -> Database {
        Database { service, url: url.to_owned(), idle: Mutex::new(None) }
    }

    /// Reads from now on as of the first query.
    pub async fn snapshot(&self) -> Result<Snapshot<'_>, Unreadable> {
        if let Some(mut connection) = self.idle.lock().await.take()
            && begin(&mut connection).await.is_ok()
        {
            return Ok(Snapshot { database: self, connection });
        }
        let what = || format!("the database of {}", self.service);
        let connect = async {
            let options = PgConnectOptions::from_str(&self.url)?.application_name("audit");
            let mut connection = PgConnection::connect_with(&options).await?;
            begin(&mut connection).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match tokio::time::timeout(PATIENCE, connect).await {
            Ok(Ok(connection)) => Ok(Snapshot { database: self, connection }),
            Ok(Err(error)) => Err(Unreadable::away(what(), error)),
            Err(elapsed) => Err(Unreadable::away(what(), elapsed)),
        }
    }
}

async fn begin(connection: &mut PgConnection) -> sqlx::Result<()> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    sqlx::query(begin).execute(connection).await.map(drop)
}

/// A database as of the first query; nothing can be changed through it.
#[derive(Debug)]
pub struct Snapshot<'d> {
    database: &'d Database,
    connection: PgConnection,
}

impl Snapshot<'_> {
    /// All rows of a query on `what`.
    pub async fn all<'q, R>(
        &mut self,
        what: &str,
        query: QueryAs<'q, Postgres, R, PgArguments>,
    ) -> Result<Vec<R>, Unreadable>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin + 'q,
    {
        let rows = query.fetch_all(&mut self.connection).await;
        rows.map_err(|error| {
            let what = format!("{what} in the database of {}", self.database.service);
            match error {
                sqlx::Error::Io(_) => Unreadable::away(what, error),
                _ => Unreadable::missing(what, error),
            }
        })
    }

    /// Lets the next snapshot have the connection.
    pub async fn end(mut self) {
        let ended = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
        if ended.is_ok() {
            *self.database.idle.lock().await = Some(self.connection);
        }
    }
}

/// Seconds of the database's clock.
pub fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}
