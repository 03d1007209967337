//! Logs, inboxes and dead letters. A stream is read before its log, and a log before the inboxes
//! of those who take its events.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures::future::try_join_all;
use mesh_local::Subscription;
use uuid::Uuid;

use super::super::facts::{Claimed, Consumption, DeadLetter, Facts, LogRow, Publication};
use super::super::{Options, Unreadable};
use super::broker::Broker;
use super::database::{Database, Databases, seconds};

/// Reads what publishers published, and what consumers took.
pub async fn read(
    databases: &Databases,
    nats: &str,
    options: &Options,
    facts: &mut Facts,
) -> Result<(), Unreadable> {
    let publishes = |database: &&Database| {
        let declared = options.declarations.iter().find(|it| it.service == database.service);
        declared.is_some_and(|it| !it.publishes.is_empty())
    };
    let publishers = databases.logs().filter(publishes);
    facts.publications =
        try_join_all(publishers.map(|database| publication(database, nats))).await?;
    let broker = Broker::connect(nats).await?;
    for database in databases.all() {
        let declared = options.declarations.iter().filter(|it| it.service == database.service);
        for subscription in declared.flat_map(|it| &it.subscribes).filter(|it| !it.live) {
            let source = databases.logs().find(|it| it.service == subscription.stream);
            let consumption = consumption(database, source, &broker, subscription, facts).await?;
            facts.consumptions.push(consumption);
        }
        facts.dead_letters.extend(dead_letters(database).await?);
        facts.letter_boxes += 1;
    }
    Ok(())
}

/// A stream and its log. On a connection of its own: streams are long, and read side by side.
async fn publication(database: &Database, nats: &str) -> Result<Publication, Unreadable> {
    let service = database.service;
    let (max_age, messages) = Broker::connect(nats).await?.messages(service).await?;
    let log = log(database).await?;
    Ok(Publication { service: service.to_owned(), max_age, log, messages })
}

async fn log(database: &Database) -> Result<Vec<LogRow>, Unreadable> {
    type Row = (i64, Uuid, Uuid, i32, String, f64);
    let mut snapshot = database.snapshot().await?;
    let query = sqlx::query_as::<_, Row>(
        "SELECT seq, id, key, version, type, extract(epoch FROM now() - at)::float8
         FROM log WHERE public ORDER BY seq",
    );
    let mut kinds: HashMap<String, Arc<str>> = HashMap::new();
    let rows = snapshot.all("log", query).await?;
    snapshot.end().await;
    let row = |(seq, id, key, version, kind, age): Row| {
        let kind = intern(&mut kinds, kind);
        LogRow { seq, id, key, version, kind, age: seconds(age) }
    };
    Ok(rows.into_iter().map(row).collect())
}

/// The one copy of a name that is in almost every row.
fn intern(names: &mut HashMap<String, Arc<str>>, name: String) -> Arc<str> {
    match names.get(&name) {
        Some(known) => Arc::clone(known),
        None => Arc::clone(names.entry(name).or_insert_with_key(|name| name.as_str().into())),
    }
}

async fn consumption(
    database: &Database,
    source: Option<&Database>,
    broker: &Broker,
    subscription: &Subscription,
    facts: &Facts,
) -> Result<Consumption, Unreadable> {
    let stream = subscription.stream.clone();
    let query =
        sqlx::query_as::<_, (Uuid, bool)>("SELECT event_id, dead FROM inbox WHERE consumer = $1");
    let mut snapshot = database.snapshot().await?;
    let rows = snapshot.all("inbox", query.bind(stream.clone())).await?;
    snapshot.end().await;
    let claimed = |dead| if dead { Claimed::Dead } else { Claimed::Applied };
    let inbox: HashMap<_, _> = rows.into_iter().map(|(id, dead)| (id, claimed(dead))).collect();
    let strangers = match source {
        Some(source) => strangers(source, &inbox, facts).await?,
        None => Vec::new(),
    };
    let standing = broker.standing(&stream, database.service).await?;
    let (service, subjects) = (database.service.to_owned(), subscription.subjects.clone());
    Ok(Consumption { service, stream, subjects, standing, inbox, strangers })
}

/// Events that took effect and are in no log, not even in what was added since it was read.
async fn strangers(
    source: &Database,
    inbox: &HashMap<Uuid, Claimed>,
    facts: &Facts,
) -> Result<Vec<Uuid>, Unreadable> {
    let publication = facts.publications.iter().find(|it| it.service == source.service);
    let Some(publication) = publication else { return Ok(Vec::new()) };
    let known: HashSet<Uuid> = publication.log.iter().map(|row| row.id).collect();
    let applied = inbox.iter().filter(|(_, claimed)| **claimed == Claimed::Applied);
    let unknown = applied.map(|(id, _)| *id).filter(|id| !known.contains(id));
    let mut unknown: HashSet<Uuid> = unknown.collect();
    if !unknown.is_empty() {
        let end = publication.log.last().map_or(0, |row| row.seq);
        let query = sqlx::query_as::<_, (Uuid,)>("SELECT id FROM log WHERE seq > $1").bind(end);
        let mut snapshot = source.snapshot().await?;
        for (id,) in snapshot.all("log", query).await? {
            unknown.remove(&id);
        }
        snapshot.end().await;
    }
    Ok(unknown.into_iter().collect())
}

async fn dead_letters(database: &Database) -> Result<Vec<DeadLetter>, Unreadable> {
    let query = sqlx::query_as::<_, (String, Uuid, String, String, String)>(
        "SELECT consumer, event_id, subject, reason, error FROM dead_letters ORDER BY position",
    );
    let mut snapshot = database.snapshot().await?;
    let rows = snapshot.all("dead_letters", query).await?;
    snapshot.end().await;
    let letter = |(stream, event, subject, reason, error)| DeadLetter {
        service: database.service.to_owned(),
        stream,
        event,
        subject,
        reason,
        error,
    };
    Ok(rows.into_iter().map(letter).collect())
}
