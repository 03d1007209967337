//! One effect of many deliveries: the inbox.

use std::collections::HashSet;

use mesh_log::statement;
use sqlx::PgConnection;
use uuid::Uuid;

/// The right to apply one event, taken in the transaction of its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    consumer: String,
    event_id: Uuid,
    redrive: bool,
}

impl Claim {
    /// The claim of an event that came from the stream `consumer` reads.
    pub fn new(consumer: impl Into<String>, event_id: Uuid) -> Self {
        Self { consumer: consumer.into(), event_id, redrive: false }
    }

    /// The claim of an event that is a dead letter.
    pub(crate) fn redrive(consumer: impl Into<String>, event_id: Uuid) -> Self {
        Self { redrive: true, ..Self::new(consumer, event_id) }
    }

    /// The event's id.
    pub fn event_id(&self) -> Uuid {
        self.event_id
    }

    /// Claims the event for the caller's transaction. False if it was applied before: then the
    /// caller changes nothing. Waits for another transaction that claims the same event.
    pub async fn take(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        Ok(take_all(tx, std::slice::from_ref(self)).await? == [true])
    }
}

/// Claims many events at once; one answer each, as [`Claim::take`] gives it.
///
/// Costs one round trip. An event that is named twice is claimed by its first mention.
pub async fn take_all(tx: &mut PgConnection, claims: &[Claim]) -> sqlx::Result<Vec<bool>> {
    let (redriven, fresh): (Vec<_>, Vec<_>) = claims.iter().partition(|claim| claim.redrive);
    let mut taken = HashSet::new();
    if !fresh.is_empty() {
        taken.extend(insert(tx, &fresh).await?);
    }
    if !redriven.is_empty() {
        taken.extend(revive(tx, &redriven).await?);
    }
    Ok(claims.iter().map(|claim| taken.remove(&(claim.consumer.clone(), claim.event_id))).collect())
}

async fn insert(tx: &mut PgConnection, claims: &[&Claim]) -> sqlx::Result<Vec<(String, Uuid)>> {
    let (consumers, ids) = columns(claims);
    // In one order everywhere, so that batches that share events cannot deadlock.
    let query = sqlx::query_as(
        "INSERT INTO inbox (consumer, event_id)
         SELECT DISTINCT c.consumer, c.id FROM unnest($1::text[], $2::uuid[]) AS c(consumer, id)
         ORDER BY c.id, c.consumer
         ON CONFLICT DO NOTHING RETURNING consumer, event_id",
    )
    .bind(consumers)
    .bind(ids);
    statement("INSERT inbox", query.fetch_all(tx)).await
}

/// Takes dead letters back to life: their rows go with the effect, or stay without it.
async fn revive(tx: &mut PgConnection, claims: &[&Claim]) -> sqlx::Result<Vec<(String, Uuid)>> {
    let (consumers, ids) = columns(claims);
    let query = sqlx::query_as(
        "WITH gone AS (
             DELETE FROM dead_letters d USING unnest($1::text[], $2::uuid[]) AS c(consumer, id)
             WHERE d.consumer = c.consumer AND d.event_id = c.id
             RETURNING d.consumer, d.event_id
         ), applied AS (
             UPDATE inbox i SET dead = false, at = now() FROM gone
             WHERE i.consumer = gone.consumer AND i.event_id = gone.event_id
         )
         SELECT consumer, event_id FROM gone",
    )
    .bind(consumers)
    .bind(ids);
    statement("DELETE dead_letters", query.fetch_all(tx)).await
}

fn columns<'a>(claims: &[&'a Claim]) -> (Vec<&'a str>, Vec<Uuid>) {
    claims.iter().map(|claim| (claim.consumer.as_str(), claim.event_id)).unzip()
}
