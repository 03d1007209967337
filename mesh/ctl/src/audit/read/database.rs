//! One database, read at one moment.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    Connection as _, FromRow, PgConnection,
    postgres::{PgArguments, PgConnectOptions, PgRow, Postgres},
    query::QueryAs,
};

use super::super::Unreadable;

/// How long a database may take to let us in.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection on which everything is read as of its first query, and nothing can be changed.
pub struct Snapshot {
    service: &'static str,
    connection: PgConnection,
}

impl Snapshot {
    /// Connects to the database of a service.
    pub async fn open(service: &'static str, url: &str) -> Result<Snapshot, Unreadable> {
        let what = || format!("the database of {service}");
        let connect = async {
            let options = PgConnectOptions::from_str(url)?.application_name("audit");
            let mut connection = PgConnection::connect_with(&options).await?;
            sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .execute(&mut connection)
                .await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match tokio::time::timeout(PATIENCE, connect).await {
            Ok(Ok(connection)) => Ok(Snapshot { service, connection }),
            Ok(Err(error)) => Err(Unreadable::away(what(), error)),
            Err(elapsed) => Err(Unreadable::away(what(), elapsed)),
        }
    }

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
            let what = format!("{what} in the database of {}", self.service);
            match error {
                sqlx::Error::Io(_) => Unreadable::away(what, error),
                _ => Unreadable::missing(what, error),
            }
        })
    }
}

/// Seconds of the database's clock.
pub fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}
