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
use super::super::{Options, Places, Unreadable};
use super::broker::Broker;
use super::database::{Snapshot, seconds};

/// The services whose databases the auditor reads.
const SERVICES: [&str; 5] = ["orders", "payments", "processor", "inventory", "shipping"];

/// Reads what publishers published, and what consumers took.
pub async fn read(places: &Places, options: &Options, facts: &mut Facts) -> Result<(), Unreadable> {
    let publishes = |service: &&str| {
        let declared = options.declarations.iter().find(|it| it.service == **service);
        declared.is_some_and(|it| !it.publishes.is_empty())
    };
    let publishers = SERVICES.into_iter().filter(publishes);
    facts.publications =
        try_join_all(publishers.map(|service| publication(places, service))).await?;
    let broker = Broker::connect(&places.nats).await?;
    for service in SERVICES {
        let declared = options.declarations.iter().filter(|it| it.service == service);
        for subscription in declared.flat_map(|it| &it.subscribes) {
            let consumption = consumption(places, &broker, service, subscription, facts).await?;
            facts.consumptions.push(consumption);
        }
        facts.dead_letters.extend(dead_letters(places, service).await?);
        facts.letter_boxes += 1;
    }
    Ok(())
}

/// A stream and its log. On a connection of its own: streams are long, and read side by side.
async fn publication(places: &Places, service: &'static str) -> Result<Publication, Unreadable> {
    let (max_age, messages) = Broker::connect(&places.nats).await?.messages(service).await?;
    let log = log(places, service).await?;
    Ok(Publication { service: service.to_owned(), max_age, log, messages })
}

async fn log(places: &Places, service: &'static str) -> Result<Vec<LogRow>, Unreadable> {
    type Row = (i64, Uuid, Uuid, i32, String, f64);
    let mut snapshot = open(places, service).await?;
    let query = sqlx::query_as::<_, Row>(
        "SELECT seq, id, key, version, type, extract(epoch FROM now() - at)::float8
         FROM log WHERE public ORDER BY seq",
    );
    let mut kinds: HashMap<String, Arc<str>> = HashMap::new();
    let rows = snapshot.all("log", query).await?;
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
    places: &Places,
    broker: &Broker,
    service: &'static str,
    subscription: &Subscription,
    facts: &Facts,
) -> Result<Consumption, Unreadable> {
    let stream = subscription.stream.clone();
    let query =
        sqlx::query_as::<_, (Uuid, bool)>("SELECT event_id, dead FROM inbox WHERE consumer = $1");
    let mut snapshot = open(places, service).await?;
    let rows = snapshot.all("inbox", query.bind(stream.clone())).await?;
    let claimed = |dead| if dead { Claimed::Dead } else { Claimed::Applied };
    let inbox: HashMap<_, _> = rows.into_iter().map(|(id, dead)| (id, claimed(dead))).collect();
    let strangers = strangers(places, &stream, &inbox, facts).await?;
    let standing = broker.standing(&stream, service).await?;
    let (service, subjects) = (service.to_owned(), subscription.subjects.clone());
    Ok(Consumption { service, stream, subjects, standing, inbox, strangers })
}

/// Events that took effect and are in no log, not even in what was added since it was read.
async fn strangers(
    places: &Places,
    stream: &str,
    inbox: &HashMap<Uuid, Claimed>,
    facts: &Facts,
) -> Result<Vec<Uuid>, Unreadable> {
    let publication = facts.publications.iter().find(|it| it.service == stream);
    let Some(publication) = publication else { return Ok(Vec::new()) };
    let known: HashSet<Uuid> = publication.log.iter().map(|row| row.id).collect();
    let applied = inbox.iter().filter(|(_, claimed)| **claimed == Claimed::Applied);
    let mut unknown: HashSet<Uuid> = applied.map(|(id, _)| *id).collect();
    unknown.retain(|id| !known.contains(id));
    let service = SERVICES.into_iter().find(|service| *service == stream);
    if let (Some(service), false) = (service, unknown.is_empty()) {
        let end = publication.log.last().map_or(0, |row| row.seq);
        let query = sqlx::query_as::<_, (Uuid,)>("SELECT id FROM log WHERE seq > $1").bind(end);
        for (id,) in open(places, service).await?.all("log", query).await? {
            unknown.remove(&id);
        }
    }
    Ok(unknown.into_iter().collect())
}

async fn dead_letters(
    places: &Places,
    service: &'static str,
) -> Result<Vec<DeadLetter>, Unreadable> {
    let query = sqlx::query_as::<_, (String, Uuid, String, String, String)>(
        "SELECT consumer, event_id, subject, reason, error FROM dead_letters ORDER BY position",
    );
    let rows = open(places, service).await?.all("dead_letters", query).await?;
    let letter = |(stream, event, subject, reason, error)| DeadLetter {
        service: service.to_owned(),
        stream,
        event,
        subject,
        reason,
        error,
    };
    Ok(rows.into_iter().map(letter).collect())
}

async fn open(places: &Places, service: &'static str) -> Result<Snapshot, Unreadable> {
    let url = places.database(service).ok_or_else(|| {
        Unreadable::missing(format!("the database of {service}"), "nobody says where it is")
    })?;
    Snapshot::open(service, url).await
}
