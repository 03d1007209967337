//! Configuration files that change while calls and streams are under way.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::Request;
use mesh_testkit::{browse, eventually, hear};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::{
    streams::Talk,
    support::{Folder, Gateway, uuid},
    witness::Witness,
};

const AGAIN: &str = "file read again";
const NOT: &str = "file not read again";

/// What was logged: each line its fields, one after the other.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// How many lines have all of these words.
    fn count(&self, words: &[&str]) -> usize {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    async fn come(&self, words: &[&str]) {
        eventually(&format!("a line with {words:?}"), async || self.count(words) > 0).await;
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("gateway")
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

fn edge(sheet: &str) -> String {
    format!(
        "[request]\nset = {{ x-channel = \"{sheet}\" }}\n[answer]\nset = {{ x-sheet = \"{sheet}\" }}"
    )
}

#[tokio::test]
async fn files_are_read_again_and_what_is_under_way_goes_on() {
    let lines = Lines::default();
    let _hears = hear(lines.clone());
    let (echo, held) = (Witness::echo().await, Witness::held().await);
    let (catalog, folder) = (Witness::begin().await, Folder::new());
    let edge_file = folder.write("edge.toml", &edge("one"));
    let legacy_file = folder.write("legacy.toml", "");
    let places = [("catalog", catalog.at), ("orders", echo.at), ("users", held.at)];
    let gateway = Gateway::with(&places, |config| {
        config.edge_file = Some(edge_file);
        config.legacy_file = Some(legacy_file);
    })
    .await;
    let sheet = async || gateway.get("/v1/nothing").await.header("x-sheet").to_owned();
    assert_eq!(sheet().await, "one");
    let mut stream = Talk::begin(&gateway, "before").await;
    stream.hears("before").await;
    let request = Request::get(format!("/v1/users/{}", uuid())).header("grpc-timeout", "30S");
    let call = tokio::spawn(browse(gateway.at, request.body(Bytes::new()).unwrap()));
    eventually("the call to arrive", async || held.count() == 1).await;

    folder.write("edge.toml", &edge("two"));
    eventually("the edge to be another", async || sheet().await == "two").await;
    lines.come(&["EDGE_FILE", AGAIN]).await;
    assert_eq!(gateway.get("/v1/products/MUG").await.status, 200);
    assert_eq!(catalog.last().headers["x-channel"], "two", "what is new goes on to services");
    folder.write("legacy.toml", "[backends.old]\nurl = \"http://127.0.0.1:9\"");
    lines.come(&["LEGACY_FILE", AGAIN]).await;
    assert_eq!(lines.count(&[NOT]), 0);
    stream.say("between");
    stream.hears("between").await;

    folder.write("edge.toml", &edge("three").replace("[answer]", "[answers]"));
    folder.write("legacy.toml", "\n[backends.old]\nurl = 7");
    lines.come(&["EDGE_FILE", NOT, "line 3: unknown field `answers`"]).await;
    lines.come(&["LEGACY_FILE", NOT, "line 3"]).await;
    assert_eq!(sheet().await, "two", "what was there holds");
    stream.say("after");
    stream.hears("after").await;

    folder.write("edge.toml", &edge("four"));
    eventually("the edge to be another again", async || sheet().await == "four").await;
    held.release();
    let answer = call.await.unwrap().unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("x-sheet")), (200, "one"), "as it came");
    stream.ends().await;
}
