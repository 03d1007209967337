//! One statement on whatever connection is free.
//!
//! In a trace that is sampled it is taken apart to be named by its SQL, and put together again.

use futures::{
    StreamExt as _, TryFutureExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Describe, Either, Execute, Executor, Postgres, SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::Pool;
use crate::{
    Answer,
    limits::within,
    statement::{place, statement, summary},
};

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let fetching = async move {
            let mut connection = self.acquire().await?;
            let all: Vec<_> = match Named::of(query) {
                Ok(query) => {
                    let summary = query.summary();
                    let fetched = within(connection.fetch_many(query).try_collect());
                    statement(&summary, fetched.map_ok(Fetched)).await?.0
                }
                Err(query) => within(connection.fetch_many(query).try_collect()).await?,
            };
            Ok(stream::iter(all.into_iter().map(Ok)))
        };
        fetching.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut connection = self.acquire().await?;
            match Named::of(query) {
                Ok(query) => {
                    let summary = query.summary();
                    statement(&summary, within(connection.fetch_optional(query))).await
                }
                Err(query) => within(connection.fetch_optional(query)).await,
            }
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        Box::pin(async move {
            let mut connection = self.acquire().await?;
            within(connection.prepare_with(sql, parameters)).await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        Box::pin(async move {
            let mut connection = self.acquire().await?;
            within(connection.describe(sql)).await
        })
    }
}

/// A query whose SQL can be looked at.
struct Named {
    arguments: Option<Result<Option<PgArguments>, BoxDynError>>,
    persistent: bool,
    sql: SqlStr,
}

impl Named {
    /// Takes a query apart if somebody will look at its name.
    fn of<'q, E: Execute<'q, Postgres>>(mut query: E) -> Result<Self, E> {
        if place().is_none() {
            return Err(query);
        }
        let arguments = Some(query.take_arguments());
        let persistent = query.persistent();
        Ok(Self { arguments, persistent, sql: query.sql() })
    }

    fn summary(&self) -> String {
        summary(self.sql.as_str())
    }
}

impl Execute<'_, Postgres> for Named {
    fn sql(self) -> SqlStr {
        self.sql
    }

    /// Connections know the statements that they have prepared by their SQL.
    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.arguments.take().unwrap_or(Ok(None))
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

/// Rows, and between them how each statement ended.
struct Fetched(Vec<Either<PgQueryResult, PgRow>>);

impl Answer for Fetched {
    fn rows(&self) -> Option<usize> {
        Some(self.0.iter().filter(|each| each.is_right()).count())
    }
}
