//! D8: five times as many calls as one service can answer.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures::future::join_all;
use mesh_rpc::{Channel, discovery::Endpoints, server::Criticality, timeout_request};
use shop::{
    common::v1::Money,
    processor::v1::{AuthorizeChargeRequest, processor_service_client::ProcessorServiceClient},
};
use tokio::time::sleep;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::policy_file;
use crate::{
    callers::Callers,
    orders_and_money::ANSWERS_SLOWLY,
    shop::{Shop, uuid},
};

const PLACES: usize = 8;
const POLICY: &str = "[server]\nbulkhead = { calls = 8, queue = 16 }\n";
/// What the slow card takes: work that costs no time of this machine's.
const WORK: Duration = Duration::from_secs(2);
const LASTS: Duration = Duration::from_secs(6);
const DEADLINE: Duration = Duration::from_secs(13);
const OVER: usize = 5;
/// Of what it can answer.
const GOODPUT: f64 = 0.8;

#[tokio::test(flavor = "multi_thread")]
async fn at_five_times_the_load_most_work_is_done_and_the_critical_comes_first() {
    let policy = policy_file("overload", POLICY);
    let shop = Shop::open_with(|it| it.env("processor", "MESH_POLICY", &policy)).await;
    let card = shop.card(ANSWERS_SLOWLY).await;
    let address = shop.platform.grpc("processor");
    let door =
        Callers::of(&shop.platform).builder("processor").follow(&Endpoints::fixed(&[address]));
    let answered = [const { AtomicUsize::new(0) }; 3];
    let (shed, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let offered = OVER * PLACES * LASTS.as_secs() as usize / WORK.as_secs() as usize;

    let begun = Instant::now();
    let calls = (0..offered).map(async |number| {
        sleep(LASTS.mul_f64(number as f64 / offered as f64)).await;
        let class = Criticality::ALL[number % 3];
        match authorize(&door, class, &card).await {
            None => answered[class as usize].fetch_add(1, Ordering::Relaxed),
            Some(code) => {
                assert!(matches!(code, Code::ResourceExhausted | Code::DeadlineExceeded), "{code}");
                shed.fetch_add(1, Ordering::Relaxed)
            }
        };
    });
    let overload = async {
        join_all(calls).await;
        over.store(true, Ordering::Relaxed);
        begun.elapsed()
    };
    let (took, checks) = tokio::join!(overload, health(&door, &over));

    let answered = answered.map(AtomicUsize::into_inner);
    let (goodput, shed) = (answered.iter().sum::<usize>() as f64, shed.into_inner());
    let capacity = PLACES as f64 * took.as_secs_f64() / WORK.as_secs_f64();
    println!("{answered:?} of {offered}, {shed} shed, in {took:?}; {checks} checks");
    assert!(goodput >= GOODPUT * capacity, "{goodput} of {capacity}");
    let [sheddable, default, critical] = answered;
    assert!(critical > 2 * default && default >= sheddable, "{answered:?}");
    assert!(shed > offered / 2, "it was too much: {shed} of {offered} shed");
    let metric = shop.metric("processor", "mesh_rpc_server_shed_total", &[]).await;
    assert!(metric > 0.0, "the service says so");

    let order = shop.simple_order().await;
    assert_eq!(shop.settled(&order.order_id).await.order_id, order.order_id, "it has recovered");
    shop.platform.shutdown().await;
}

/// None if it was answered.
async fn authorize(door: &Channel, class: Criticality, card: &str) -> Option<Code> {
    let amount = Some(Money { currency_code: "EUR".to_owned(), units: 1, nanos: 0 });
    let card_token = card.to_owned();
    let request = AuthorizeChargeRequest { request_id: uuid(), card_token, amount };
    let mut request = timeout_request(request, DEADLINE);
    request.metadata_mut().insert("x-mesh-criticality", class.as_str().parse().unwrap());
    let answer = ProcessorServiceClient::new(door.clone()).authorize_charge(request).await;
    answer.err().map(|status| status.code())
}

/// Asks for the service's health all the while, and never waits for work.
async fn health(door: &Channel, over: &AtomicBool) -> usize {
    let (mut checks, mut slow) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let check = HealthClient::new(door.clone()).check(HealthCheckRequest::default()).await;
        assert_eq!(check.unwrap().into_inner().status(), ServingStatus::Serving);
        checks += 1;
        slow += usize::from(begun.elapsed() > WORK / 4);
        sleep(Duration::from_millis(50)).await;
    }
    assert!(checks > 20 && slow <= checks / 20, "{slow} of {checks} were slow");
    checks
}
