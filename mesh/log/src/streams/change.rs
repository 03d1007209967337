//! What is committed to a stream, and what becomes of it.

use sqlx::postgres::PgArguments;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Event;

/// A change of one stream.
#[derive(Debug)]
pub struct Change<C = ()> {
    /// Names the change in crash points and metrics.
    pub label: &'static str,
    /// The stream.
    pub key: Uuid,
    /// The version that the change was decided on; 0 makes the stream.
    pub expected: i32,
    /// The fold of the stream after the change.
    pub state: Vec<u8>,
    /// Whether a saga has work to do on the stream.
    pub awake: Awake,
    /// The replica that drives the saga.
    pub owner: Option<Uuid>,
    /// What happened; at least one event. Versions `expected + 1` and following are theirs.
    pub events: Vec<Event>,
    /// Rows of the service's own that change with the stream.
    pub companion: C,
}

/// Whether a saga has work to do on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awake {
    /// It has ended, or there is none.
    No,
    /// It has; its age counts from when it woke.
    Yes,
    /// It has, and its age counts anew.
    Anew,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was committed, at this time of the database's clock.
    Accepted(OffsetDateTime),
    /// It had been committed by an earlier attempt, at this time.
    Already(OffsetDateTime),
    /// The stream was at another version; nothing was changed.
    Conflict,
    /// A companion's condition did not hold; nothing was changed. The reason is the companion's.
    Refused(String),
}

/// Rows of a service's own that are written in the statement that commits a change.
///
/// `GUARD` locks what the change depends on and names the changes that must not happen; `EFFECT`
/// writes rows for accepted ones. Both are lists of common table expressions over arrays that
/// `bind` adds from parameter 15 on, one statement for the whole batch.
pub trait Companion: Send + Sync + Sized + 'static {
    /// CTEs of which the last is `refused(n bigint, reason text)`: changes by their number in the
    /// batch. Rows must be locked (`FOR UPDATE`) in the order of their keys.
    const GUARD: &'static str;
    /// CTEs that write for changes in `accepted(n, key, expected)`; empty if there are none.
    const EFFECT: &'static str;

    /// Rows that a batch may touch only once; later changes wait for the next batch.
    fn exclusive(&self) -> Vec<Uuid> {
        Vec::new()
    }

    /// Adds the arrays that the CTEs read; each companion comes with its change's number.
    fn bind(companions: &[(i64, &Self)], arguments: &mut PgArguments) -> Result<(), sqlx::Error>;

    /// Called when its change is known to be committed, at most once: where effects are counted. A
    /// process that dies in between does not call it. What is changed by
    /// [`Streams::commit_in`](crate::Streams::commit_in) is its caller's to count.
    fn committed(&self) {}
}

impl Companion for () {
    const GUARD: &'static str =
        "refused AS (SELECT NULL::bigint AS n, NULL::text AS reason WHERE false)";
    const EFFECT: &'static str = "";

    fn bind(_: &[(i64, &Self)], _: &mut PgArguments) -> Result<(), sqlx::Error> {
        Ok(())
    }
}
