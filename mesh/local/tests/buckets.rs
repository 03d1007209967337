//! Who declares a bucket reads it, and whoever declares that it writes puts into it, at a nats-server with
//! users made of that.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::jetstream::{self, kv};
use futures::StreamExt as _;
use mesh_local::{
    Declaration, Home, Nats, Progress, Servers, Supervised, broker_users, connect_nats,
    ensure_streams, free_port,
};

const PATIENCE: Duration = Duration::from_secs(30);

async fn bucket(nats: &Nats, user: &str) -> kv::Store {
    let client = connect_nats(&nats.url(user)).await.unwrap();
    let jetstream = jetstream::ContextBuilder::new().timeout(Duration::from_secs(1)).build(client);
    jetstream.get_key_value("flags").await.unwrap()
}

#[tokio::test]
async fn a_bucket_is_read_by_who_reads_and_written_by_who_writes() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let project = Home::of_project(&project).unwrap();
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("buckets");
    let home = Home::at(&root).unwrap().sharing_wheels(&project);
    let servers = Servers::find(&home, &mut Progress::hidden()).await.unwrap();
    let declared = |service: &str, access: &str| {
        let text = format!(
            "service = \"{service}\"\n[[buckets]]\nname = \"flags\"\naccess = \"{access}\"\nwhy = \"\""
        );
        Declaration::parse(&text).unwrap()
    };
    let declarations = [declared("writer", "write"), declared("reader", "read")];
    let users = broker_users(&declarations, "operator");
    let nats = Nats::prepare(&home, "nats", &servers, free_port().unwrap(), users).unwrap();
    let log = home.path("nats.log");
    let process = Supervised::start(nats.spec(log.clone(), None));
    nats.ready(PATIENCE, &log).await.unwrap();
    ensure_streams(&nats.url("operator"), &declarations).await.unwrap();
    ensure_streams(&nats.url("operator"), &declarations).await.unwrap();

    let (writer, reader) = (bucket(&nats, "writer").await, bucket(&nats, "reader").await);
    let mut watch = reader.watch_all().await.unwrap();
    writer.put("dark", "on".into()).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((told.key.as_str(), told.value.as_ref()), ("dark", b"on".as_slice()));
    assert_eq!(reader.get("dark").await.unwrap().unwrap().as_ref(), b"on");
    assert!(reader.put("dark", "off".into()).await.is_err());
    writer.delete("dark").await.unwrap();
    assert_eq!(reader.get("dark").await.unwrap(), None);
    assert_eq!(writer.get("dark").await.unwrap(), None);

    process.stop(PATIENCE).await;
    home.wipe("nats").unwrap();
}
