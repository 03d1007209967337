use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures::future::join_all;
use mesh_rpc::{Code, ErrorDetails};
use tokio::{sync::Semaphore, time::advance};
use tonic_types::StatusExt as _;

use super::*;

const LIMITS: Limits = Limits {
    fresh: Duration::from_secs(30),
    stale: Duration::from_secs(300),
    kept: Duration::from_secs(3600),
    entries: 100,
};
const LIMIT: Duration = Duration::from_secs(1);

/// Somebody who is asked, and counts.
#[derive(Clone)]
struct Origin {
    asked: Arc<AtomicUsize>,
    /// Permits for answers.
    gate: Arc<Semaphore>,
}

impl Origin {
    fn open() -> Self {
        Self { asked: Arc::default(), gate: Arc::new(Semaphore::new(1_000)) }
    }

    fn closed() -> Self {
        Self { asked: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    /// Answers with how often it was asked.
    fn answers(&self) -> impl Future<Output = Result<usize, Status>> + Send + use<> {
        let origin = self.clone();
        async move {
            let answer = origin.asked.fetch_add(1, SeqCst) + 1;
            origin.gate.acquire().await.unwrap().forget();
            Ok(answer)
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }
}

async fn away() -> Result<usize, Status> {
    Err(Status::with_error_details(Code::Unavailable, "nobody is there", ErrorDetails::new()))
}

async fn refuses() -> Result<usize, Status> {
    Err(Status::with_error_details(Code::NotFound, "there is no such thing", ErrorDetails::new()))
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_share_one_load() {
    let (cache, origin) = (Cache::new(LIMITS), Origin::closed());

    let ask = |_| cache.get("a", LIMIT, origin.answers());
    let (all, ()) = tokio::join!(join_all((0..50).map(ask)), async {
        tokio::task::yield_now().await;
        origin.gate.add_permits(1);
    });

    assert_eq!(origin.asked(), 1);
    assert!(all.into_iter().all(|found| found.unwrap().value == 1));
    let found = cache.get("a", LIMIT, origin.answers()).await.unwrap();
    assert_eq!((found.value, found.stale), (1, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_a_little_old_is_shown_while_it_is_loaded_anew() {
    let (cache, origin) = (Cache::new(LIMITS), Origin::open());
    cache.get("a", LIMIT, origin.answers()).await.unwrap();
    advance(Duration::from_secs(31)).await;

    let found = cache.get("a", LIMIT, origin.answers()).await.unwrap();

    assert_eq!((found.value, found.stale.as_deref()), (1, Some(REVALIDATING)));
    assert_eq!(found.age, Duration::from_secs(31));
    while origin.asked() < 2 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    let found = cache.get("a", LIMIT, origin.answers()).await.unwrap();
    assert_eq!((found.value, found.stale), (2, None));
    assert_eq!(origin.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_older_is_shown_only_if_nobody_answers() {
    let (cache, origin) = (Cache::new(LIMITS), Origin::open());
    cache.get("a", LIMIT, origin.answers()).await.unwrap();
    advance(Duration::from_secs(400)).await;

    let found = cache.get("a", LIMIT, away()).await.unwrap();
    assert_eq!((found.value, found.stale.as_deref()), (1, Some("UNAVAILABLE")));
    let silent = Origin::closed();
    let found = cache.get("a", LIMIT, silent.answers()).await.unwrap();
    assert_eq!((found.value, found.stale.as_deref()), (1, Some("DEADLINE_EXCEEDED")));
    cache.doubt(|_| true, Forgotten::Event);
    let refused = cache.get("a", LIMIT, refuses()).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "what the origin says holds");
    let found = cache.get("a", LIMIT, origin.answers()).await.unwrap();
    assert_eq!((found.value, found.stale), (2, None));

    advance(Duration::from_secs(3601)).await;
    let gone = cache.get("a", LIMIT, away()).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable, "it is too old to be shown");
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_when_a_change_was_heard_of_is_not_taken_for_fresh() {
    let (cache, origin) = (Cache::new(LIMITS), Origin::closed());
    let early = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move { cache.get("a", LIMIT, origin.answers()).await }
    });
    while origin.asked() < 1 {
        tokio::task::yield_now().await;
    }

    cache.doubt(|key| key == "a", Forgotten::Event);
    origin.gate.add_permits(2);

    assert_eq!(early.await.unwrap().unwrap().value, 1);
    let found = cache.get("a", LIMIT, origin.answers()).await.unwrap();
    assert_eq!((found.value, found.stale), (2, None), "it was asked anew");
}

#[tokio::test(start_paused = true)]
async fn a_load_goes_on_without_those_who_wait_for_it() {
    let (cache, origin) = (Cache::new(LIMITS), Origin::closed());
    let late = cache.get("a", LIMIT, origin.answers()).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);

    origin.gate.add_permits(1);

    let found = cache.get("a", LIMIT, origin.answers()).await.unwrap();
    assert_eq!((found.value, origin.asked()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn purged_is_what_begins_so_and_nothing_of_it_is_kept() {
    let (cache, origin) = (Cache::new(LIMITS), Origin::open());
    for key in ["product:A", "product:B", "list:"] {
        cache.get(key, LIMIT, origin.answers()).await.unwrap();
    }

    assert_eq!(cache.purge("product:"), 2);

    let gone = cache.get("product:A", LIMIT, away()).await;
    assert_eq!(gone.unwrap_err().code(), Code::Unavailable);
    assert_eq!(cache.get("list:", LIMIT, origin.answers()).await.unwrap().value, 3);
}

#[tokio::test(start_paused = true)]
async fn there_are_never_many_more_than_allowed_and_the_oldest_leave() {
    let (cache, origin) = (Cache::new(LIMITS), Origin::open());
    for n in 0..500 {
        cache.get(&n.to_string(), LIMIT, origin.answers()).await.unwrap();
        advance(Duration::from_millis(1)).await;
        assert!(cache.inner.slots().len() <= LIMITS.entries);
    }

    assert_eq!(cache.get("499", LIMIT, origin.answers()).await.unwrap().value, 500);
    assert_eq!(cache.get("0", LIMIT, origin.answers()).await.unwrap().value, 501);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_takes_no_room() {
    let cache: Cache<usize> = Cache::new(LIMITS);
    for n in 0..1_000 {
        cache.get(&n.to_string(), LIMIT, refuses()).await.unwrap_err();
    }

    assert!(cache.inner.slots().is_empty());
}
