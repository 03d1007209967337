//! The reader, while others write.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mesh_log::{Event, Reader};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sqlx::Connection as _;
use uuid::Uuid;

use crate::lab::{Happened, Lab};

const WRITERS: u64 = 6;
const ROUNDS: usize = 120;

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_read_once_in_order_whatever_commits_late_or_not_at_all() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let written: Arc<Mutex<Vec<Uuid>>> = Arc::default();
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| tokio::spawn(write(lab.database.url().to_owned(), seed ^ n, Arc::clone(&written))))
        .collect();
    let writing = Arc::new(AtomicBool::new(true));
    let reading = read(node.db.clone(), Arc::clone(&writing), Arc::clone(&written));
    let reader = tokio::spawn(reading);

    for writer in writers {
        writer.await.unwrap();
    }
    writing.store(false, Ordering::SeqCst);
    let seen = reader.await.unwrap();

    assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "in order, each once");
    let mut ids: Vec<_> = seen.iter().map(|(_, id)| *id).collect();
    let mut expected = written.lock().unwrap().clone();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected, "seed {seed}");
    let last = seen.last().map_or(0, |(seq, _)| *seq);
    assert!(last > seen.len() as i64, "there were holes to get past");
}

/// Transactions long and short, one in ten rolled back.
async fn write(url: String, seed: u64, written: Arc<Mutex<Vec<Uuid>>>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    for _ in 0..ROUNDS {
        let rows: Vec<_> = (0..random.random_range(1..12))
            .map(|_| (Uuid::now_v7(), 1, Event::public(&Happened { number: 0 })))
            .collect();
        let mut tx = connection.begin().await.unwrap();
        mesh_log::append_all(&mut tx, &rows).await.unwrap();
        if random.random_bool(0.3) {
            // A transaction takes its time: not a wait for anything.
            let nap = Duration::from_micros(random.random_range(0..8_000));
            sqlx::query("SELECT pg_sleep($1)")
                .bind(nap.as_secs_f64())
                .execute(&mut *tx)
                .await
                .unwrap();
        }
        if random.random_bool(0.1) {
            tx.rollback().await.unwrap();
        } else {
            tx.commit().await.unwrap();
            written.lock().unwrap().extend(rows.iter().map(|(.., event)| event.id));
        }
    }
}

/// Reads until nobody writes any more and as many rows were seen as were written. A transaction in
/// any database of the server can keep a hole open for a while, so an empty look is no end.
async fn read(
    db: mesh_log::Database,
    writing: Arc<AtomicBool>,
    written: Arc<Mutex<Vec<Uuid>>>,
) -> Vec<(i64, Uuid)> {
    let mut reader = Reader::new(&db, 0);
    let mut seen = Vec::new();
    let mut patience = None;
    loop {
        let over = !writing.load(Ordering::SeqCst);
        let rows = reader.next(50).await.unwrap();
        seen.extend(rows.into_iter().map(|row| (row.seq, row.id)));
        if over {
            let begun = *patience.get_or_insert_with(std::time::Instant::now);
            let all = seen.len() >= written.lock().unwrap().len();
            if all || begun.elapsed() > mesh_testkit::patience() {
                return seen;
            }
        }
    }
}

#[tokio::test]
async fn a_number_that_is_not_drawn_by_an_insert_is_passed_over() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let mut late = sqlx::PgConnection::connect(lab.database.url()).await.unwrap();
    let mut quick = sqlx::PgConnection::connect(lab.database.url()).await.unwrap();
    let mut reader = Reader::new(&node.db, 0);
    let event = || Event::public(&Happened { number: 0 });

    // The opposite of what `append` does: the number is drawn without a lock on the log.
    let mut careless = late.begin().await.unwrap();
    sqlx::query("SELECT nextval(pg_get_serial_sequence('log', 'seq'))")
        .execute(&mut *careless)
        .await
        .unwrap();
    let mut tx = quick.begin().await.unwrap();
    mesh_log::append(&mut tx, Uuid::now_v7(), 1, &[event()]).await.unwrap();
    tx.commit().await.unwrap();
    let mut skipped = reader.next(10).await.unwrap();
    skipped.extend(reader.next(10).await.unwrap());
    careless.rollback().await.unwrap();

    // What `append` does.
    let mut careful = late.begin().await.unwrap();
    mesh_log::append(&mut careful, Uuid::now_v7(), 1, &[event()]).await.unwrap();
    let mut tx = quick.begin().await.unwrap();
    mesh_log::append(&mut tx, Uuid::now_v7(), 1, &[event()]).await.unwrap();
    tx.commit().await.unwrap();
    let mut waited = reader.next(10).await.unwrap();
    waited.extend(reader.next(10).await.unwrap());
    careful.commit().await.unwrap();
    let all = mesh_testkit::eventually("both rows", async || {
        waited.extend(reader.next(10).await.unwrap());
        (waited.len() == 2).then(|| waited.clone())
    })
    .await;

    assert_eq!(skipped.len(), 1, "its number is passed while it could still be used");
    assert_eq!(skipped[0].seq, 2);
    assert_eq!(all.iter().map(|row| row.seq).collect::<Vec<_>>(), [3, 4]);
}

/// The snapshot that shows the hole ends below the id of the transaction that will fill it.
#[tokio::test]
async fn a_hole_waits_for_a_transaction_that_began_after_the_last_one_that_ended() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let mut early = sqlx::PgConnection::connect(lab.database.url()).await.unwrap();
    let mut late = sqlx::PgConnection::connect(lab.database.url()).await.unwrap();
    let mut reader = Reader::new(&node.db, 0);
    let event = || Event::public(&Happened { number: 0 });

    for _ in 0..20 {
        let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
        // The one that ends first has the smaller id and the larger number.
        let mut ends_first = early.begin().await.unwrap();
        sqlx::query("SELECT pg_current_xact_id()").execute(&mut *ends_first).await.unwrap();
        let mut fills = late.begin().await.unwrap();
        mesh_log::append(&mut fills, first, 1, &[event()]).await.unwrap();
        mesh_log::append(&mut ends_first, second, 1, &[event()]).await.unwrap();
        ends_first.commit().await.unwrap();

        for _ in 0..3 {
            let rows = reader.next(10).await.unwrap();
            assert!(rows.is_empty(), "a row was passed over that is still to come: {rows:?}");
        }
        fills.commit().await.unwrap();

        let mut keys = Vec::new();
        mesh_testkit::eventually("both rows", async || {
            keys.extend(reader.next(10).await.unwrap().into_iter().map(|row| row.key));
            keys.len() == 2
        })
        .await;
        assert_eq!(keys, [first, second]);
    }
}
