//! Changes of streams under contention.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use mesh_log::{Outcome, Streams};
use uuid::Uuid;

use crate::lab::{Lab, change};

#[tokio::test(flavor = "multi_thread")]
async fn contended_changes_are_accepted_one_per_version_and_logged_in_order() {
    let lab = Lab::start().await;
    let nodes = [lab.node().await, lab.node().await];
    let keys: Vec<Uuid> = (0..8).map(|_| Uuid::now_v7()).collect();
    let model: Arc<Mutex<HashMap<Uuid, Vec<Uuid>>>> = Arc::default();

    let mut writers = Vec::new();
    for n in 0..24 {
        let streams: Streams = Streams::start(&nodes[n % 2].db, &nodes[n % 2].service);
        let (keys, model) = (keys.clone(), Arc::clone(&model));
        writers.push(tokio::spawn(async move {
            for round in 0..25 {
                let key = keys[(n * 7 + round) % keys.len()];
                let version = streams.load(key).await.unwrap().map_or(0, |stored| stored.version);
                let change = change(key, version, 1 + round % 3);
                let ids: Vec<_> = change.events.iter().map(|event| event.id).collect();
                if let Outcome::Accepted(_) = streams.commit(change).await.unwrap() {
                    let mut model = model.lock().unwrap();
                    let events = model.entry(key).or_default();
                    events.resize(events.len().max(version as usize + ids.len()), Uuid::nil());
                    for (place, id) in (version as usize..).zip(ids) {
                        assert_eq!(events[place], Uuid::nil(), "two changes got one version");
                        events[place] = id;
                    }
                }
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }

    let model = model.lock().unwrap().clone();
    let rows: Vec<(Uuid, i32, Uuid)> =
        sqlx::query_as("SELECT key, version, id FROM log ORDER BY seq")
            .fetch_all(nodes[0].db.pool())
            .await
            .unwrap();
    let mut logged: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for (key, version, id) in rows {
        let events = logged.entry(key).or_default();
        events.push(id);
        assert_eq!(version as usize, events.len(), "log order is version order");
    }
    assert_eq!(logged, model, "what was accepted is what is logged");
    assert!(logged.values().map(Vec::len).sum::<usize>() > 100, "the test has written enough");
}

#[tokio::test]
async fn a_change_that_is_sent_again_answers_already() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let streams: Streams = Streams::start(&node.db, &node.service);
    let key = Uuid::now_v7();
    let first = change(key, 0, 2);
    let mut again = change(key, 0, 2);
    again.events.clone_from(&first.events);

    let accepted = streams.commit(first).await.unwrap();
    let already = streams.commit(again).await.unwrap();

    let Outcome::Accepted(at) = accepted else { panic!("{accepted:?}") };
    assert_eq!(already, Outcome::Already(at));
    assert_eq!(streams.load(key).await.unwrap().unwrap().version, 2);
}

#[tokio::test]
async fn a_change_of_another_version_is_refused_alone() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let streams: Streams = Streams::start(&node.db, &node.service);
    let (stale, fresh) = (Uuid::now_v7(), Uuid::now_v7());
    streams.commit(change(stale, 0, 1)).await.unwrap();

    let (refused, accepted) =
        tokio::join!(streams.commit(change(stale, 0, 1)), streams.commit(change(fresh, 0, 1)));

    assert_eq!(refused.unwrap(), Outcome::Conflict);
    assert!(matches!(accepted.unwrap(), Outcome::Accepted(_)));
}

#[tokio::test]
async fn a_watcher_hears_of_a_change_that_another_process_made() {
    let lab = Lab::start().await;
    let (here, there) = (lab.node().await, lab.node().await);
    let watching: Streams = Streams::start(&here.db, &here.service);
    let changing: Streams = Streams::start(&there.db, &there.service);
    let key = Uuid::now_v7();
    let mut subscription = watching.watch(key);

    changing.commit(change(key, 0, 3)).await.unwrap();

    tokio::time::timeout(mesh_testkit::patience(), subscription.past(2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_hears_what_its_process_did_without_asking_the_database() {
    let lab = Lab::start().await;
    let (here, there) = (lab.node().await, lab.node().await);
    let streams: Streams = Streams::start(&here.db, &here.service);
    let elsewhere: Streams = Streams::start(&there.db, &there.service);
    let key = Uuid::now_v7();
    streams.commit(change(key, 0, 1)).await.unwrap();
    let mut followed = streams.watch(key);
    elsewhere.commit(change(key, 1, 1)).await.unwrap();
    streams.commit(change(key, 2, 2)).await.unwrap();
    followed.past(3).await;

    let all = streams.events(key, 0).await.unwrap();
    for after in 0..=4 {
        let heard = streams.followed_events(&followed, after as i32).await.unwrap();
        assert_eq!(heard, all[after..], "after {after}");
    }
    // Now nobody can read.
    let mut held = lab.database.pool().await.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE log").execute(&mut *held).await.unwrap();
    let hearing = streams.followed_events(&followed, 2);
    let heard = tokio::time::timeout(mesh_testkit::patience(), hearing).await.unwrap().unwrap();
    assert_eq!(heard, all[2..]);
    held.rollback().await.unwrap();

    // What others do is read.
    elsewhere.commit(change(key, 4, 1)).await.unwrap();
    followed.past(4).await;
    let heard = streams.followed_events(&followed, 3).await.unwrap();
    assert_eq!(heard.iter().map(|it| it.version).collect::<Vec<_>>(), [4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_read_at_the_same_time_are_each_told_of_their_own_stream() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let streams: Streams = Streams::start(&node.db, &node.service);
    let keys: Vec<Uuid> = (0..40).map(|_| Uuid::now_v7()).collect();
    let written =
        keys.iter().zip(1..).map(|(key, events)| streams.commit(change(*key, 0, events as usize)));
    futures::future::join_all(written).await;

    let read = keys.iter().zip(1..).map(|(key, events)| {
        let (streams, nobody) = (streams.clone(), Uuid::now_v7());
        async move {
            let (stored, all, last, none) = futures::try_join!(
                streams.load(*key),
                streams.events(*key, 0),
                streams.events(*key, events - 1),
                streams.load(nobody),
            )
            .unwrap();
            assert_eq!(stored.unwrap().version, events);
            let versions: Vec<_> = all.iter().map(|event| event.version).collect();
            assert_eq!(versions, (1..=events).collect::<Vec<_>>());
            assert_eq!(last.len(), 1);
            assert_eq!(last[0].id, all.last().unwrap().id);
            assert!(none.is_none());
        }
    });
    futures::future::join_all(read).await;
}
