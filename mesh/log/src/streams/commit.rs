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

use super::{Awake, Change, Companion, Outcome, Watchers};
use crate::gather::Work;

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
            let committed = matches!(outcome, Outcome::Accepted(_) | Outcome::Already(_));
            if committed && change.events.iter().any(|event| event.public) {
                let version = change.expected + i32::try_from(change.events.len()).unwrap_or(0);
                self.watchers.notify(change.key, version);
            }
        }
    }
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
    let events = || (1_i64..).zip(changes).flat_map(|(n, c)| c.events.iter().map(move |e| (n, e)));
    add.array(events().map(|(n, _)| n))?;
    add.array(events().map(|(_, e)| e.kind.as_ref()))?;
    add.array(events().map(|(_, e)| e.public))?;
    add.array(events().map(|(_, e)| e.body.as_ref()))?;
    add.array(events().map(|(_, e)| prost::Message::encode_to_vec(&e.meta)))?;
    add.array(events().map(|(_, e)| e.id))?;
    let companions: Vec<_> = (1..).zip(changes).map(|(n, c)| (n, &c.companion)).collect();
    C::bind(&companions, &mut arguments)?;
    Ok(arguments)
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

/// `$1` key, `$2` expected version, `$3` state, `$4` awake, `$5` owner; per event: `$6` number of
/// its change, `$7` type, `$8` public, `$9` body, `$10` meta, `$11` id; then the companion's.
fn statement<C: Companion>() -> String {
    let effect = match C::EFFECT {
        "" => String::new(),
        effect => format!(", {effect}"),
    };
    format!(
        "WITH change AS MATERIALIZED (
           SELECT c.key, c.expected, c.state, c.awake, c.owner, c.n
           FROM unnest($1::uuid[], $2::int[], $3::bytea[], $4::smallint[], $5::uuid[])
                WITH ORDINALITY AS c(key, expected, state, awake, owner, n)
         ), event AS MATERIALIZED (
           SELECT e.*, row_number() OVER (PARTITION BY e.change ORDER BY e.i) AS k
           FROM unnest($6::bigint[], $7::text[], $8::bool[], $9::bytea[], $10::bytea[], $11::uuid[])
                WITH ORDINALITY AS e(change, type, public, body, meta, id, i)
         ), size AS (
           SELECT change, count(*)::int AS events, (array_agg(id ORDER BY i))[1] AS first_id
           FROM event GROUP BY change
         ), {guard}, wanted AS MATERIALIZED (
           SELECT c.* FROM change c WHERE NOT EXISTS (SELECT FROM refused r WHERE r.n = c.n)
         ), locked AS MATERIALIZED (
           SELECT s.id, s.version FROM streams s JOIN wanted c ON c.key = s.id
           ORDER BY s.id FOR UPDATE OF s
         ), created AS (
           INSERT INTO streams (id, version, state, awake_since, owner)
           SELECT c.key, size.events, c.state, CASE WHEN c.awake > 0 THEN now() END, c.owner
           FROM wanted c JOIN size ON size.change = c.n WHERE c.expected = 0 ORDER BY c.key
           ON CONFLICT DO NOTHING RETURNING id
         ), advanced AS (
           UPDATE streams s
           SET version = s.version + size.events, state = c.state, updated_at = now(),
               awake_since = CASE c.awake WHEN 1 THEN coalesce(s.awake_since, now())
                                      WHEN 2 THEN now() END,
               owner = c.owner
           FROM wanted c JOIN locked l ON l.id = c.key AND l.version = c.expected
                         JOIN size ON size.change = c.n
           WHERE s.id = c.key AND c.expected > 0 RETURNING s.id
         ), accepted AS MATERIALIZED (
           SELECT c.* FROM wanted c
           JOIN (TABLE created UNION ALL TABLE advanced) a ON a.id = c.key
         ), logged AS (
           INSERT INTO log (key, version, id, type, public, body, meta)
           SELECT a.key, a.expected + e.k, e.id, e.type, e.public, e.body, e.meta
           FROM accepted a JOIN event e ON e.change = a.n ORDER BY e.i
         ){effect}
         SELECT CASE WHEN a.n IS NOT NULL THEN 'accepted'
                     WHEN p.id = size.first_id THEN 'already'
                     WHEN r.n IS NOT NULL THEN 'refused' ELSE 'conflict' END, r.reason,
                CASE WHEN a.n IS NOT NULL THEN now() ELSE p.at END
         FROM change c JOIN size ON size.change = c.n
              LEFT JOIN accepted a ON a.n = c.n
              LEFT JOIN refused r ON r.n = c.n
              LEFT JOIN log p ON p.key = c.key AND p.version = c.expected + 1
         ORDER BY c.n",
        guard = C::GUARD,
    )
}
