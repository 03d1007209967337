use std::time::Duration;

use super::*;

const RATE: Rate = Rate { per_second: 10.0, burst: 3 };

fn limit() -> RateLimit {
    RateLimit::new(|extensions| extensions.get::<Arc<str>>().cloned())
}

fn caller(name: &str) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(Arc::<str>::from(name));
    extensions
}

fn wait(result: Result<(), Refused>) -> Duration {
    match result {
        Err(Refused { refusal: Refusal::RateLimited, retry_in: Some(retry_in) }) => retry_in,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_has_its_burst_then_its_rate_and_is_told_when_to_come_back() {
    let limit = limit();
    limit.set(None, Some(RATE));

    for _ in 0..3 {
        limit.check(&caller("a")).unwrap();
    }
    let early = wait(limit.check(&caller("a")));
    limit.check(&caller("b")).expect("each has its own");

    assert_eq!(early, Duration::from_millis(100));
    tokio::time::advance(early - Duration::from_millis(1)).await;
    wait(limit.check(&caller("a")));
    tokio::time::advance(Duration::from_millis(1)).await;
    limit.check(&caller("a")).unwrap();
    wait(limit.check(&caller("a")));
}

#[tokio::test(start_paused = true)]
async fn in_the_long_run_the_rate_holds() {
    let limit = limit();
    limit.set(None, Some(RATE));

    let mut passed = 0;
    for _ in 0..10_000 {
        passed += u32::from(limit.check(&caller("a")).is_ok());
        tokio::time::advance(Duration::from_millis(1)).await;
    }

    assert!((100..=103).contains(&passed), "{passed} of 10 s × 10/s and a burst of 3");
}

#[tokio::test(start_paused = true)]
async fn one_who_calls_too_often_takes_nothing_from_the_others() {
    let limit = limit();
    limit.set(Some(Rate { per_second: 10.0, burst: 5 }), Some(RATE));

    let greedy = (0..100).filter(|_| limit.check(&caller("greedy")).is_ok()).count();
    let modest = (0..100).filter(|_| limit.check(&caller("modest")).is_ok()).count();

    assert_eq!((greedy, modest), (3, 2), "five for both together");
    assert_eq!(limit.numbers().limited, Limited { total: 98, peer: 97 });
}

#[tokio::test(start_paused = true)]
async fn callers_without_a_name_share_one_rate() {
    let limit = limit();
    limit.set(None, Some(RATE));

    let passed = (0..10).filter(|_| limit.check(&Extensions::new()).is_ok()).count();

    assert_eq!(passed, 3);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_ten_thousand_callers_are_remembered_and_not_the_active_one_is_forgotten() {
    let limit = limit();
    limit.set(None, Some(Rate { per_second: 0.001, burst: 1_000 }));
    let mut active = 0;

    for stranger in 0..50_000 {
        limit.check(&caller(&stranger.to_string())).unwrap();
        if stranger % 25 == 0 {
            active += usize::from(limit.check(&caller("active")).is_ok());
        }
    }

    assert!(limit.numbers().keys <= MAX_KEYS, "{}", limit.numbers().keys);
    assert_eq!(active, 1_000, "its burst was not given twice");
}

#[tokio::test(start_paused = true)]
async fn rates_change_while_calls_come() {
    let limit = limit();
    limit.set(None, Some(RATE));
    while limit.check(&caller("a")).is_ok() {}

    limit.set(None, Some(Rate { burst: 5, ..RATE }));
    assert_eq!((0..10).filter(|_| limit.check(&caller("a")).is_ok()).count(), 2);

    limit.set(None, None);
    assert!(limit.check(&caller("a")).is_ok());
}
