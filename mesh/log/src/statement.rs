//! Spans of round trips to the database, as OpenTelemetry's conventions for databases name them.
//!
//! Only what is done for a trace that is sampled has any. What a task of the service does as long as
//! the process lives (polls, views, relays) belongs to nobody's story, and has none either.

use mesh_runtime::trace::{self, TraceContext};
use sqlx::postgres::PgQueryResult;
use tracing::{Instrument as _, Span, field::Empty};

/// The span of [`mesh_runtime::Service::spawn`], which ends with the process.
const TASK: &str = "task";

/// An answer that may have rows.
pub trait Answer {
    /// How many; none if it is no answer to a question.
    fn rows(&self) -> Option<usize>;
}

impl<T> Answer for Vec<T> {
    fn rows(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl<T> Answer for Option<T> {
    fn rows(&self) -> Option<usize> {
        Some(usize::from(self.is_some()))
    }
}

impl Answer for PgQueryResult {
    fn rows(&self) -> Option<usize> {
        None
    }
}

impl Answer for () {
    fn rows(&self) -> Option<usize> {
        None
    }
}

/// Shows a statement's round trip as a span below the current one.
///
/// `summary` names operation and table, such as `SELECT payments`: there are as many of them as there
/// are statements in the code, so it never holds a value.
pub async fn statement<T: Answer>(
    summary: &str,
    running: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    if place().is_none() {
        return running.await;
    }
    let span = trace::part(|| round_trip(&Span::current(), summary)).span;
    let result = running.instrument(span.clone()).await;
    match &result {
        Ok(answer) => answered(&span, answer.rows()),
        Err(error) => failed(&span, error),
    }
    result
}

/// Shows what runs a statement as its span.
pub trait Traced: Future + Send + Sized {
    /// As [`statement`] does: `query.fetch_all(tx).traced("SELECT payments").await`.
    fn traced<T>(self, summary: &'static str) -> impl Future<Output = sqlx::Result<T>> + Send
    where
        Self: Future<Output = sqlx::Result<T>>,
        T: Answer + Send,
    {
        statement(summary, self)
    }

    /// As [`traced`](Self::traced), for what returns one row.
    fn traced_one<T>(self, summary: &'static str) -> impl Future<Output = sqlx::Result<T>> + Send
    where
        Self: Future<Output = sqlx::Result<T>>,
        T: Send,
    {
        async move { statement(summary, async { self.await.map(One) }).await.map(|One(row)| row) }
    }
}

/// An answer of one row.
struct One<T>(T);

impl<T> Answer for One<T> {
    fn rows(&self) -> Option<usize> {
        Some(1)
    }
}

impl<F: Future + Send> Traced for F {}

/// The place of the current span, if what it asks of the database is shown.
pub(crate) fn place() -> Option<TraceContext> {
    if !trace::is_sampled() || Span::current().metadata().is_none_or(|it| it.name() == TASK) {
        return None;
    }
    trace::current()
}

/// Notes on the current span how many rows its statement returned: for the one of a
/// [`Work`](crate::Work), whose span is there already.
pub fn returned(rows: usize) {
    answered(&Span::current(), Some(rows));
}

/// The span of a round trip.
///
/// It has the level of errors, so that a quieter log does not cost the trace.
pub(crate) fn round_trip(parent: &Span, summary: &str) -> Span {
    tracing::error_span!(
        parent: parent,
        "statement",
        otel.name = summary,
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.query.summary = summary,
        db.operation.batch.size = Empty,
        mesh.command = Empty,
        db.response.returned_rows = Empty,
        db.response.status_code = Empty,
        "error.type" = Empty,
    )
}

/// The span of a transaction of several round trips.
pub(crate) fn transaction(parent: &Span) -> Span {
    tracing::error_span!(
        parent: parent,
        "transaction",
        otel.kind = "internal",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.operation.batch.size = Empty,
        mesh.command = Empty,
        db.response.status_code = Empty,
        "error.type" = Empty,
    )
}

fn answered(span: &Span, rows: Option<usize>) {
    if let Some(rows) = rows.and_then(|rows| i64::try_from(rows).ok()) {
        span.record("db.response.returned_rows", rows);
    }
}

/// Notes how the database failed: by its code, or by what became of the connection.
pub(crate) fn failed(span: &Span, error: &sqlx::Error) {
    span.record("otel.status_code", "ERROR");
    match error.as_database_error().and_then(|error| error.code()) {
        Some(code) => {
            span.record("db.response.status_code", &*code);
            span.record("error.type", &*code);
        }
        None => {
            span.record("error.type", if is_timeout(error) { "timeout" } else { "connection" });
        }
    }
}

fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// The operation of a statement and the table that it begins with.
pub(crate) fn summary(sql: &str) -> String {
    let mut words = sql.split(|c: char| c.is_whitespace() || c == '(').filter(|it| !it.is_empty());
    let operation = words.find(|word| OPERATIONS.contains(word)).unwrap_or("OTHER");
    let table = match operation {
        "UPDATE" => words.next(),
        _ => words.skip_while(|word| !["FROM", "INTO"].contains(word)).nth(1),
    };
    let table = table.map(|table| table.trim_end_matches([',', ';', ')']));
    match table.filter(|table| table.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')) {
        Some(table) => format!("{operation} {table}"),
        None => operation.to_owned(),
    }
}

const OPERATIONS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn a_statement_is_named_by_operation_and_table_and_by_no_value() {
        for (sql, named) in [
            ("SELECT version FROM streams WHERE id = '018f'", "SELECT streams"),
            ("SELECT a FROM payments, refunds", "SELECT payments"),
            ("INSERT INTO requests (key) SELECT * FROM unnest($1)", "INSERT requests"),
            ("UPDATE payments SET state = 'OPEN' WHERE id IN (SELECT 1)", "UPDATE payments"),
            ("DELETE FROM order_view", "DELETE order_view"),
            ("WITH w AS (SELECT id FROM stock FOR UPDATE) SELECT * FROM w", "SELECT stock"),
            ("SELECT now()", "SELECT"),
            ("SELECT 1 FROM 'a value'", "SELECT"),
            ("VACUUM", "OTHER"),
        ] {
            assert_eq!(summary(sql), named, "{sql}");
        }
    }
}
