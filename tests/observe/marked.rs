//! What must not be found, and where it is looked for: every text and byte that databases and the broker
//! keep.

use async_nats::jetstream::{self, consumer, stream::Stream};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::StreamExt as _;
use mesh_testkit::Platform;
use sqlx::{AssertSqlSafe, PgPool};

use crate::shop::SERVICES;

/// Something that was said in confidence.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Its forms, as they might be written down.
    forms: Vec<String>,
    /// The tables of its owner.
    homes: &'static [&'static str],
}

/// Something that is told or kept somewhere.
#[derive(Clone, Debug)]
pub struct Told {
    /// Where: `the table users.users`, say.
    pub place: String,
    pub text: String,
}

impl Mark {
    /// A text, which only these tables may keep.
    pub fn new(text: &str, homes: &'static [&'static str]) -> Self {
        assert!(text.len() >= 8, "{text} might be found by chance");
        let mut forms = vec![text.to_owned(), hex(text.as_bytes())];
        // In base64 it depends on what stands before; the first and last letters on their neighbours.
        for before in 0..3 {
            let bytes = [&[b' '; 2][..before], text.as_bytes()].concat();
            let encoded = BASE64_STANDARD.encode(&bytes);
            let (from, to) = ([0, 2, 3][before], bytes.len() * 8 / 6);
            forms.push(encoded[from..to].to_owned());
        }
        Self { forms, homes }
    }

    /// Where it is told that it must not be.
    pub fn found<'a>(&self, told: &'a [Told]) -> Vec<&'a str> {
        let elsewhere = told.iter().filter(|it| !self.is_at_home(&it.place));
        let telling = elsewhere.filter(|it| self.forms.iter().any(|form| it.text.contains(form)));
        telling.map(|it| it.place.as_str()).collect()
    }

    fn is_at_home(&self, place: &str) -> bool {
        place.strip_prefix("the table ").is_some_and(|table| self.homes.contains(&table))
    }
}

impl Told {
    pub fn new(place: impl Into<String>, bytes: &[u8]) -> Self {
        Self { place: place.into(), text: String::from_utf8_lossy(bytes).into_owned() }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every value of every table of every service that could hold a text.
pub async fn tables(platform: &Platform) -> Vec<Told> {
    let mut told = Vec::new();
    for service in SERVICES {
        let pool = PgPool::connect(platform.database_url(service)).await.unwrap();
        let columns: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT table_name::text, column_name::text, data_type::text
             FROM information_schema.columns JOIN information_schema.tables
                  USING (table_catalog, table_schema, table_name)
             WHERE table_type = 'BASE TABLE'
               AND table_schema NOT IN ('pg_catalog', 'information_schema')
             ORDER BY 1, 2",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        assert!(columns.iter().any(|(table, ..)| table == "log"), "{service}: {columns:?}");
        for (table, column, kind) in columns.iter().filter(|(.., kind)| holds_text(kind)) {
            // Bytes as they are, everything else as it is shown.
            let (column, table_name) = (format!("\"{column}\""), format!("\"{table}\""));
            let value = match kind.as_str() {
                "bytea" => column.clone(),
                _ => format!("convert_to({column}::text, 'UTF8')"),
            };
            let sql = format!("SELECT {value} FROM {table_name} WHERE {column} IS NOT NULL");
            let values: Vec<Vec<u8>> =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap();
            let place = format!("the table {service}.{table}");
            told.extend(values.iter().map(|value| Told::new(&place, value)));
        }
        pool.close().await;
    }
    told
}

/// Numbers, times and the like hold none; whatever is not known to be like them might.
fn holds_text(kind: &str) -> bool {
    let none = ["bigint", "boolean", "date", "double precision", "integer", "smallint", "uuid"];
    !none.contains(&kind) && !kind.starts_with("timestamp") && !kind.starts_with("interval")
}

/// Every message of every stream of the broker with its headers; buckets are streams, too.
pub async fn messages(url: &str) -> Vec<Told> {
    let jetstream = jetstream::new(mesh_local::connect_nats(url).await.unwrap());
    let mut told = Vec::new();
    let mut names = jetstream.stream_names();
    while let Some(name) = names.next().await {
        let stream = jetstream.get_stream(name.unwrap()).await.unwrap();
        told.extend(messages_of(&stream).await);
    }
    told
}

async fn messages_of(stream: &Stream) -> Vec<Told> {
    let info = stream.get_info().await.unwrap();
    let place = match info.config.name.strip_prefix("KV_") {
        Some(bucket) => format!("the bucket {bucket}"),
        None => format!("the stream {}", info.config.name),
    };
    let about = Told::new(&place, format!("{:?}", info.config).as_bytes());
    let mut told = vec![about];
    let consumer = stream.create_consumer(consumer::pull::Config::default()).await.unwrap();
    let mut messages = consumer.fetch().max_messages(10_000).messages().await.unwrap();
    while let Some(Ok(message)) = messages.next().await {
        let head = format!("{} {:?}", message.subject, message.headers);
        told.push(Told::new(&place, &[head.as_bytes(), &message.payload].concat()));
    }
    let there = usize::try_from(info.state.messages).unwrap();
    assert!(told.len() > there, "{place}: {} of {there} messages were read", told.len() - 1);
    told
}

#[test]
fn a_mark_is_found_however_it_is_written_down_and_not_where_it_belongs() {
    let mark = Mark::new("4242424242424242", &["processor.cards"]);
    for before in ["", "x", "xy", "xyz"] {
        let text = format!("{before}4242424242424242{before}");
        let forms = [text.clone(), hex(text.as_bytes()), BASE64_STANDARD.encode(&text)];
        for form in forms {
            let told = [
                Told::new("the table orders.log", format!("<{form}>").as_bytes()),
                Told::new("the table processor.cards", form.as_bytes()),
            ];
            assert_eq!(mark.found(&told), ["the table orders.log"], "{form}");
        }
    }
    assert!(mark.found(&[Told::new("a line", b"424242424242424")]).is_empty());
}
