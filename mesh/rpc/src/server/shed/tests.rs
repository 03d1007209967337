use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{task::JoinHandle, time::sleep};
use tonic::Code;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn shed(calls: usize, queue: usize) -> Shed {
    Shed::seeded(values::Bulkhead { calls, queue }, 7)
}

/// A caller that waits for a place with `left` until its deadline, and says when it has one.
fn wait(shed: &Shed, class: Criticality, left: Duration) -> JoinHandle<Result<Permit, Code>> {
    let shed = shed.clone();
    let deadline = Deadline::after(left);
    tokio::spawn(
        async move { shed.enter(class, Some(deadline)).await.map_err(|status| status.code()) },
    )
}

/// Lets every task come to where it waits.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_free_place_goes_to_the_most_critical_first() {
    let shed = shed(1, 10);
    let held = shed.enter(Criticality::Default, None).await.unwrap();
    let waiting = [Criticality::Sheddable, Criticality::Default, Criticality::Critical]
        .map(|class| wait(&shed, class, 1_000 * MS));
    settle().await;
    let [sheddable, default, critical] = waiting;

    drop(held);
    let permit = critical.await.unwrap().unwrap();
    assert!(!default.is_finished() && !sheddable.is_finished());
    drop(permit);
    let permit = default.await.unwrap().unwrap();
    assert!(!sheddable.is_finished());
    drop(permit);
    sheddable.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_sheds_the_expired_then_the_sheddable_then_the_default() {
    let shed = shed(1, 3);
    let _held = shed.enter(Criticality::Default, None).await.unwrap();
    let sheddable = wait(&shed, Criticality::Sheddable, 1_000 * MS);
    let default = wait(&shed, Criticality::Default, 900 * MS);
    let other = wait(&shed, Criticality::Default, 1_000 * MS);
    settle().await;

    let first = wait(&shed, Criticality::Critical, 1_000 * MS);
    assert_eq!(sheddable.await.unwrap().unwrap_err(), Code::ResourceExhausted);
    let second = wait(&shed, Criticality::Critical, 1_000 * MS);
    assert_eq!(default.await.unwrap().unwrap_err(), Code::ResourceExhausted, "least time left");
    let third = wait(&shed, Criticality::Critical, 1_000 * MS);
    assert_eq!(other.await.unwrap().unwrap_err(), Code::ResourceExhausted);

    settle().await;
    let late = shed.enter(Criticality::Default, None).await.unwrap_err();
    assert_eq!(late.code(), Code::ResourceExhausted, "nobody is worth less");
    assert!(![first, second, third].iter().any(JoinHandle::is_finished));
    assert_eq!(shed.numbers().shed, [1, 3, 0]);
}

#[test]
fn what_has_expired_is_shed_before_what_matters_least() {
    let now = Instant::now();
    let mut queue = Queue::default();
    let (word, mut expired) = oneshot::channel();
    queue.push(Criticality::Critical, now, now + MS, word);
    let (word, mut sheddable) = oneshot::channel();
    queue.push(Criticality::Sheddable, now, now + 10 * MS, word);

    let (class, _) = queue.expired(now + 2 * MS).unwrap();

    assert_eq!(class, Criticality::Critical);
    assert!(queue.expired(now + 2 * MS).is_none());
    assert!(expired.try_recv().is_err() && sheddable.try_recv().is_err());
    assert_eq!(queue.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_spent_in_the_queue_is_exceeded_and_leaves_no_trace() {
    let shed = shed(1, 10);
    let held = shed.enter(Criticality::Default, None).await.unwrap();
    let begin = Instant::now();

    let waited = wait(&shed, Criticality::Default, 100 * MS).await.unwrap();

    assert_eq!(waited.unwrap_err(), Code::DeadlineExceeded);
    assert!((100 * MS..=102 * MS).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    assert_eq!(shed.numbers().queued, 0);
    drop(held);
    assert_eq!(shed.numbers().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_the_queue_gets_no_place() {
    let shed = shed(1, 10);
    let held = shed.enter(Criticality::Default, None).await.unwrap();
    let gone = wait(&shed, Criticality::Default, 1_000 * MS);
    let stays = wait(&shed, Criticality::Default, 1_000 * MS);
    settle().await;

    gone.abort();
    settle().await;
    assert_eq!(shed.numbers().queued, 1);
    drop(held);

    let _permit = stays.await.unwrap().unwrap();
    assert_eq!(shed.numbers().in_flight, 1);
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_answered_in_order_and_a_standing_queue_newest_first() {
    let shed = shed(1, 10);
    let held = shed.enter(Criticality::Default, None).await.unwrap();
    let first = wait(&shed, Criticality::Default, 1_000 * MS);
    settle().await;
    let second = wait(&shed, Criticality::Default, 1_000 * MS);
    settle().await;

    drop(held);
    let held = first.await.unwrap().expect("a burst keeps its order");
    sleep(60 * MS).await;
    let newest = wait(&shed, Criticality::Default, 1_000 * MS);
    settle().await;
    drop(held);

    let held = newest.await.unwrap().expect("it has the most time left");
    assert!(!second.is_finished());
    drop(held);
    second.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn bounds_change_while_calls_wait() {
    let shed = shed(1, 10);
    let _held = shed.enter(Criticality::Default, None).await.unwrap();
    let waiting = wait(&shed, Criticality::Default, 1_000 * MS);
    settle().await;

    shed.set(values::Bulkhead { calls: 2, queue: 0 });

    let _permit = waiting.await.unwrap().unwrap();
    let refused = shed.enter(Criticality::Critical, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "no queue any more");
    assert_eq!(Refused::of(&refused).unwrap().refusal, Refusal::Overloaded);
}

/// Five times as many calls as a server with 4 places of 20 ms can answer come within 10 s, with
/// 200 ms to live each; counted is who was answered in time.
#[tokio::test(start_paused = true)]
async fn at_five_times_the_load_four_fifths_of_the_capacity_are_answered_in_time() {
    const CAPACITY: usize = 2_000;
    let shed = shed(4, 64);
    let answered = Arc::new([const { AtomicUsize::new(0) }; 3]);
    let mut calls = Vec::new();

    for arrival in 0..5 * CAPACITY {
        let class = Criticality::ALL[arrival % 3];
        let (shed, answered) = (shed.clone(), Arc::clone(&answered));
        let deadline = Deadline::after(200 * MS);
        calls.push(tokio::spawn(async move {
            let Ok(_permit) = shed.enter(class, Some(deadline)).await else { return };
            let work = sleep(20 * MS);
            if timeout_at(deadline.instant(), work).await.is_ok() {
                answered[class as usize].fetch_add(1, Ordering::Relaxed);
            }
        }));
        sleep(MS).await;
    }
    for call in calls {
        call.await.unwrap();
    }

    let answered = answered.each_ref().map(|count| count.load(Ordering::Relaxed));
    let goodput: usize = answered.iter().sum();
    assert!(goodput * 10 >= CAPACITY * 8, "{answered:?}");
    assert!(answered[2] > answered[1] && answered[1] >= answered[0], "{answered:?}");
    assert_eq!(shed.numbers().in_flight, 0);
}
