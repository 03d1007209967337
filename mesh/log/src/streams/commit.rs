//! The statement that commits changes.
//!
//! Rows are locked in key order, so replicas cannot deadlock. If an earlier attempt may still be
//! running, a change can answer `Conflict` although it was committed: the writer applies such a
//! batch once more in a new statement.

use std::{marker::PhantomData, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use sqlx::{Arguments as _, AssertSqlSafe, PgConnection, postgres::PgArguments};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Awake, Change, Companion, Outcome, Recorded, Watchers};
use crate::{Event, gather::Work, returned};

/// Commits batches of changes.
#[derive(Debug)]
pub(super) struct Commit<C> {
    statement: Arc<str>,
    watchers: Watchers,
    companion: PhantomData<fn() -> C>,
}

impl<C: Companion> Commit<C> {
    pub(super) fn new(watchers: Watchers) -> Self {
        Self { statement: statement::<C>().into(), watchers, companion: PhantomData }
    }
}

impl<C: Companion> Work for Commit<C> {
    type Command = Change<C>;
    type Outcome = Outcome;

    const ONE_STATEMENT: bool = true;
    const SUMMARY: &'static str = "INSERT streams";

    fn label(change: &Change<C>) -> &'static str {
        change.label
    }

    fn exclusive(change: &Change<C>) -> Vec<Uuid> {
        let mut keys = change.companion.exclusive();
        keys.push(change.key);
        keys
    }

    fn is_doubtful(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Conflict | Outcome::Refused(_))
    }

    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        changes: &'c [Change<C>],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Outcome>>> {
        async move {
            let arguments = arguments(changes)?;
            let statement = AssertSqlSafe(Arc::clone(&self.statement));
            let rows: Vec<Row> = sqlx::query_as_with(statement, arguments).fetch_all(tx).await?;
            returned(rows.len());
            // Outcomes belong to changes by their place: better none than a neighbour's.
            if rows.len() != changes.len() {
                let error = format!("{} outcomes for {} changes", rows.len(), changes.len());
                return Err(sqlx::Error::Decode(error.into()));
            }
            Ok(rows.into_iter().map(outcome).collect())
        }
        .boxed()
    }

    fn committed(&self, changes: &[Change<C>], outcomes: &[Outcome]) {
        for (change, outcome) in changes.iter().zip(outcomes) {
            let (Outcome::Accepted(at) | Outcome::Already(at)) = outcome else { continue };
            change.companion.committed();
            self.watchers.committed(change.key, recorded(change, *at));
        }
    }
}

/// The events of a change as [`Streams::events`](super::Streams::events) reads them.
fn recorded<C>(change: &Change<C>, at: OffsetDateTime) -> impl Iterator<Item = Recorded> {
    (change.expected + 1..).zip(&change.events).map(move |(version, event)| Recorded {
        version,
        id: event.id,
        kind: event.kind.to_string(),
        public: event.public,
        body: event.body.clone(),
        meta: event.meta.clone(),
        at,
    })
}

type Row = (String, Option<String>, Option<OffsetDateTime>);

fn outcome((word, reason, at): Row) -> Outcome {
    match (word.as_str(), at) {
        ("accepted", Some(at)) => Outcome::Accepted(at),
        ("already", Some(at)) => Outcome::Already(at),
        ("refused", _) => Outcome::Refused(reason.unwrap_or_default()),
        _ => Outcome::Conflict,
    }
}

fn arguments<C: Companion>(changes: &[Change<C>]) -> sqlx::Result<PgArguments> {
    let mut arguments = PgArguments::default();
    let mut add = Adder(&mut arguments);
    add.array(changes.iter().map(|c| c.key))?;
    add.array(changes.iter().map(|c| c.expected))?;
    add.array(changes.iter().map(|c| c.state.as_slice()))?;
    add.array(changes.iter().map(|c| awake(c.awake)))?;
    add.array(changes.iter().map(|c| c.owner))?;
    add.array(changes.iter().map(|c| count(&c.events)))?;
    add.array(changes.iter().map(|c| c.events.first().map(|event| event.id)))?;
    let events = || (1_i64..).zip(changes).flat_map(|(n, c)| c.events.iter().map(move |e| (n, e)));
    add.array(events().map(|(n, _)| n))?;
    add.array(changes.iter().flat_map(|c| (c.expected + 1..).zip(&c.events).map(|(v, _)| v)))?;
    add.array(events().map(|(_, e)| e.kind.as_ref()))?;
    add.array(events().map(|(_, e)| e.public))?;
    add.array(events().map(|(_, e)| e.body.as_ref()))?;
    add.array(events().map(|(_, e)| prost::Message::encode_to_vec(&e.meta)))?;
    add.array(events().map(|(_, e)| e.id))?;
    let companions: Vec<_> = (1..).zip(changes).map(|(n, c)| (n, &c.companion)).collect();
    C::bind(&companions, &mut arguments)?;
    Ok(arguments)
}

fn count(events: &[Event]) -> i32 {
    i32::try_from(events.len()).unwrap_or(i32::MAX)
}

fn awake(awake: Awake) -> i16 {
    match awake {
        Awake::No => 0,
        Awake::Yes => 1,
        Awake::Anew => 2,
    }
}

struct Adder<'a>(&'a mut PgArguments);

impl Adder<'_> {
    fn array<'q, T>(&mut self, values: impl Iterator<Item = T>) -> sqlx::Result<()>
    where
        T: 'q,
        Vec<T>: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.0.add(values.collect::<Vec<T>>()).map_err(sqlx::Error::Encode)
    }
}

/// `$1` key, `$2` expected version, `$3` state, `$4` awake, `$5` owner, `$6` how many events, `$7` id
/// of the first; per event: `$8` number of its change, `$9` version, `$10` type, `$11` public, `$12`
/// body, `$13` meta, `$14` id; then the companion's.
///
/// PostgreSQL takes every array for ten rows, and so joins them row by row: nothing is joined here
/// that can come along.
fn statement<C: Companion>() -> String {
    let effect = match C::EFFECT {
        "" => String::new(),
        effect => format!(", {effect}"),
    };
    format!(
        "WITH change AS MATERIALIZED (
           SELECT *
           FROM unnest($1::uuid[], $2::int[], $3::bytea[], $4::smallint[], $5::uuid[], $6::int[],
                       $7::uuid[])
                WITH ORDINALITY AS c(key, expected, state, awake, owner, events, first_id, n)
         ), {guard}, wanted AS MATERIALIZED (
           SELECT c.* FROM change c WHERE NOT EXISTS (SELECT FROM refused r WHERE r.n = c.n)
         ), locked AS MATERIALIZED (
           SELECT c.*, s.version FROM streams s JOIN wanted c ON c.key = s.id
           ORDER BY s.id FOR UPDATE OF s
         ), created AS (
           INSERT INTO streams (id, version, state, awake_since, owner)
           SELECT c.key, c.events, c.state, CASE WHEN c.awake > 0 THEN now() END, c.owner
           FROM wanted c WHERE c.expected = 0 ORDER BY c.key
           ON CONFLICT DO NOTHING RETURNING id
         ), advanced AS (
           UPDATE streams s
           SET version = s.version + l.events, state = l.state, updated_at = now(),
               awake_since = CASE l.awake WHEN 1 THEN coalesce(s.awake_since, now())
                                      WHEN 2 THEN now() END,
               owner = l.owner
           FROM locked l
           WHERE s.id = l.key AND l.version = l.expected AND l.expected > 0
           RETURNING l.n, l.key, l.expected
         ), accepted AS MATERIALIZED (
           TABLE advanced
           UNION ALL
           SELECT c.n, c.key, c.expected FROM created JOIN wanted c ON c.key = created.id
         ), logged AS (
           INSERT INTO log (key, version, id, type, public, body, meta)
           SELECT a.key, e.version, e.id, e.type, e.public, e.body, e.meta
           FROM unnest($8::bigint[], $9::int[], $10::text[], $11::bool[], $12::bytea[],
                       $13::bytea[], $14::uuid[])
                WITH ORDINALITY AS e(change, version, type, public, body, meta, id, i)
                JOIN accepted a ON a.n = e.change
           ORDER BY e.i
         ){effect}
         SELECT CASE WHEN a.n IS NOT NULL THEN 'accepted'
                     WHEN p.id = c.first_id THEN 'already'
                     WHEN r.n IS NOT NULL THEN 'refused' ELSE 'conflict' END, r.reason,
                CASE WHEN a.n IS NOT NULL THEN now() ELSE p.at END
         FROM change c
              LEFT JOIN accepted a ON a.n = c.n
              LEFT JOIN refused r ON r.n = c.n
              LEFT JOIN LATERAL (SELECT id, at FROM log WHERE a.n IS NULL AND key = c.key
                                                          AND version = c.expected + 1) p ON true
         ORDER BY c.n",
        guard = C::GUARD,
    )
}
