//! Events that cannot be applied: set aside, shown, tried again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::HeaderMap;
use futures::{FutureExt as _, future::BoxFuture};
use mesh_events::{
    Claim, Consumer, ConsumerOptions, HandleError, Handler, Incoming, dead_letters_service,
};
use mesh_proto::operator::v1::{
    DeadLetter, DeadLetterReason, GetDeadLetterRequest, ListDeadLettersRequest,
    RedriveDeadLettersRequest,
    dead_letters_service_client::DeadLettersServiceClient,
    dead_letters_service_server::{DeadLettersService, DeadLettersServiceServer},
};
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::{
    consumer::{impatient, settled},
    support::{Broker, Closure, Effects, Node, headers, headers_at, key},
};

/// B4: garbage, an unknown type, and headers that say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_message_is_set_aside_at_once_and_the_others_go_on() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    let counting = Arc::new(consumer.counting("only"));
    let reaction = consumer.consume(Closure(move |event: Incoming, claim| {
        let counting = Arc::clone(&counting);
        async move {
            match event.kind.as_str() {
                "stranger.v1.Counted" => counting.handle(event, claim).await,
                other => Err(HandleError::Undecodable(format!("unknown type {other}"))),
            }
        }
        .boxed()
    }));

    broker.publish_raw(headers(Uuid::now_v7(), key(1), 1), b"\xff\xff\xff".to_vec()).await;
    broker.publish_raw(HeaderMap::new(), Vec::new()).await;
    let mut newer = headers(Uuid::now_v7(), key(2), 1);
    newer.insert("ce-type", "stranger.v2.Counted");
    broker.publish_raw(newer, Vec::new()).await;
    let mut nameless = headers(Uuid::now_v7(), key(3), 1);
    nameless.insert("ce-subject", "no uuid");
    broker.publish_raw(nameless, Vec::new()).await;
    broker.publish(Uuid::now_v7(), key(4), 1).await;

    settled(&broker, 5).await;
    assert_eq!(effects.count().await, 1);
    let letters = list(&consumer, &effects, reaction).await;
    let why: Vec<_> = letters.iter().map(|letter| (letter.reason(), &*letter.error)).collect();
    let undecodable = DeadLetterReason::Undecodable;
    assert_eq!(why[1], (undecodable, "header ce-time is missing"));
    assert_eq!(why[2], (undecodable, "unknown type stranger.v2.Counted"));
    assert_eq!(why[3].0, undecodable);
    assert!(why[0].1.contains("decode"), "{why:?}");
    assert!(letters.iter().all(|letter| letter.attempts == 0), "nothing was tried twice");
}

/// B5: the handler is broken, then mended; later events of the key wait, in order.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_too_often_is_redriven_once_the_bug_is_fixed() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    let broken = Arc::new(AtomicBool::new(true));
    let reaction =
        consumer.consume_with(refusing_version_2(&consumer, Arc::clone(&broken)), impatient());
    let mut operator = operator(&consumer, reaction);

    for version in 1..=4 {
        broker.publish(Uuid::now_v7(), key(1), version).await;
        broker.publish(Uuid::now_v7(), key(2), version * 10).await;
    }
    settled(&broker, 8).await;
    let letters = operator.list_dead_letters(ListDeadLettersRequest::default()).await.unwrap();
    let why: Vec<_> =
        letters.into_inner().dead_letters.iter().map(|l| (l.reason(), l.attempts)).collect();
    let still_broken = redrive(&mut operator, &key(1).to_string()).await;
    broken.store(false, Ordering::SeqCst);
    let mended = redrive(&mut operator, &key(1).to_string()).await;
    broker.publish(Uuid::now_v7(), key(1), 5).await;

    settled(&broker, 9).await;
    let (failed, behind) = (DeadLetterReason::Failed, DeadLetterReason::Behind);
    assert_eq!(why, [(failed, 3), (behind, 0), (behind, 0)]);
    assert_eq!(still_broken, (0, 3, "version 2 is refused".to_owned()));
    assert_eq!(mended, (3, 0, String::new()));
    assert_eq!(effects.versions().await[&key(1)], [1, 2, 3, 4, 5]);
    assert_eq!(effects.versions().await[&key(2)], [10, 20, 30, 40]);
    assert_eq!(effects.scalar("SELECT count(*) FROM inbox WHERE dead").await, 0);
    assert_eq!(redrive(&mut operator, "").await, (0, 0, String::new()), "safe to repeat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_of_all_keys_lets_one_that_fails_hold_only_its_own() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    let broken = Arc::new(AtomicBool::new(true));
    let blocked = Arc::clone(&broken);
    let mended = Arc::new(consumer.counting("mended"));
    let handler = Closure(move |event: Incoming, claim| {
        let fails = blocked.load(Ordering::SeqCst) || event.key == key(1);
        let mended = Arc::clone(&mended);
        async move {
            match fails {
                true => Err(HandleError::failed("refused")),
                false => mended.handle(event, claim).await,
            }
        }
        .boxed()
    });
    let reaction = consumer.consume_with(handler, impatient());
    let mut operator = operator(&consumer, reaction);
    for version in 1..=2 {
        broker.publish(Uuid::now_v7(), key(1), version).await;
        broker.publish(Uuid::now_v7(), key(2), version).await;
    }
    settled(&broker, 4).await;

    broken.store(false, Ordering::SeqCst);
    let outcome = redrive(&mut operator, "").await;

    assert_eq!(outcome, (2, 2, "refused".to_owned()));
    assert_eq!(effects.versions().await[&key(2)], [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_makes_a_dead_letter_of_its_event_only() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    let counting = Arc::new(consumer.counting("only"));
    let panics = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&panics);
    let handler = Closure(move |event: Incoming, claim: Claim| -> BoxFuture<'static, _> {
        let (counting, seen) = (Arc::clone(&counting), Arc::clone(&seen));
        async move {
            if event.key == key(1) {
                seen.fetch_add(1, Ordering::SeqCst);
                panic!("a bug");
            }
            counting.handle(event, claim).await
        }
        .boxed()
    });
    consumer.consume_with(handler, impatient());

    broker.publish(Uuid::now_v7(), key(1), 1).await;
    broker.publish(Uuid::now_v7(), key(2), 1).await;

    settled(&broker, 2).await;
    assert_eq!(panics.load(Ordering::SeqCst), 3);
    assert_eq!((effects.count().await, effects.dead_letters().await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_never_comes_back_holds_its_key_for_a_limited_time() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    let handler = Closure(|_, _| std::future::pending().boxed());
    let options = ConsumerOptions { attempt_limit: Duration::from_millis(20), ..impatient() };
    let reaction = consumer.consume_with(handler, options);

    broker.publish(Uuid::now_v7(), key(1), 1).await;

    settled(&broker, 1).await;
    let letters = list(&consumer, &effects, reaction).await;
    assert_eq!(letters[0].error, "the handler took too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_older_than_the_inbox_remembers_is_set_aside_not_applied() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    let reaction = consumer.consume(consumer.counting("only"));

    let old = headers_at(Uuid::now_v7(), key(1), 1, "2020-02-02T02:02:02Z");
    broker.publish_raw(old, Vec::new()).await;

    settled(&broker, 1).await;
    assert_eq!(effects.count().await, 0);
    let letters = list(&consumer, &effects, reaction).await;
    assert_eq!(letters[0].reason(), DeadLetterReason::Expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_reads_dead_letters_page_by_page() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    let reaction = consumer.consume(consumer.counting("only"));
    let mut operator = operator(&consumer, reaction);
    for number in 1..=5 {
        broker.publish_raw(headers(Uuid::now_v7(), key(number), 1), vec![0xff]).await;
    }
    settled(&broker, 5).await;

    let (mut sequences, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListDeadLettersRequest { page_size: 2, page_token: token };
        let page = operator.list_dead_letters(request).await.unwrap().into_inner();
        sequences.push(page.dead_letters.iter().map(|letter| letter.sequence).collect::<Vec<_>>());
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let event_id = list_with(&mut operator).await[0].event_id.clone();
    let request = GetDeadLetterRequest { stream: "things".to_owned(), event_id };
    let one = operator.get_dead_letter(request).await.unwrap().into_inner().dead_letter.unwrap();

    // Keys run beside each other, so any order is theirs; pages neither skip nor repeat.
    assert_eq!(sequences.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    let mut all = sequences.concat();
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5]);
    assert_eq!(one.body.as_ref(), [0xff]);
    assert_eq!((one.r#type.as_str(), one.stream.as_str()), ("stranger.v1.Counted", "things"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_are_refused_by_name() {
    let broker = Broker::start().await;
    let effects = Effects::empty().await;
    let consumer = Node::start("effects", &effects.database, &broker.url()).await;
    let reaction = consumer.consume(consumer.counting("only"));
    let mut operator = operator(&consumer, reaction);

    let request = ListDeadLettersRequest { page_size: 0, page_token: "x".to_owned() };
    let token = operator.list_dead_letters(request).await.unwrap_err();
    let request = ListDeadLettersRequest { page_size: -1, page_token: String::new() };
    let size = operator.list_dead_letters(request).await.unwrap_err();
    let request = RedriveDeadLettersRequest { stream: "others".to_owned(), key: String::new() };
    let stream = operator.redrive_dead_letters(request).await.unwrap_err();
    let event_id = Uuid::now_v7().to_string();
    let request = GetDeadLetterRequest { stream: "things".to_owned(), event_id };
    let unknown = operator.get_dead_letter(request).await.unwrap_err();

    for (status, field) in [(&token, "page_token"), (&size, "page_size"), (&stream, "stream")] {
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
    }
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(mesh_rpc::reason(&unknown).as_deref(), Some("DEAD_LETTER_NOT_FOUND"));
}

type Operator<S> = DeadLettersServiceClient<DeadLettersServiceServer<S>>;

fn operator(node: &Node, consumer: Consumer) -> Operator<impl DeadLettersService + use<>> {
    let server = dead_letters_service(&node.service, &node.db, vec![consumer]);
    DeadLettersServiceClient::new(server)
}

async fn list(node: &Node, effects: &Effects, consumer: Consumer) -> Vec<DeadLetter> {
    let mut operator = operator(node, consumer);
    let mut letters = list_with(&mut operator).await;
    assert_eq!(letters.len() as i64, effects.dead_letters().await);
    letters.sort_by_key(|letter| letter.sequence);
    letters
}

async fn list_with(operator: &mut Operator<impl DeadLettersService>) -> Vec<DeadLetter> {
    let request = ListDeadLettersRequest::default();
    operator.list_dead_letters(request).await.unwrap().into_inner().dead_letters
}

/// Applied, remaining, error.
async fn redrive(
    operator: &mut Operator<impl DeadLettersService>,
    key: &str,
) -> (i32, i32, String) {
    let request = RedriveDeadLettersRequest { stream: "things".to_owned(), key: key.to_owned() };
    let response = operator.redrive_dead_letters(request).await.unwrap().into_inner();
    (response.applied, response.remaining, response.error)
}

fn refusing_version_2(node: &Node, broken: Arc<AtomicBool>) -> impl Handler + use<> {
    let counting = Arc::new(node.counting("only"));
    Closure(move |event: Incoming, claim| {
        let fails = broken.load(Ordering::SeqCst) && event.version == 2;
        let counting = Arc::clone(&counting);
        async move {
            match fails {
                true => Err(HandleError::failed("version 2 is refused")),
                false => counting.handle(event, claim).await,
            }
        }
        .boxed()
    })
}
