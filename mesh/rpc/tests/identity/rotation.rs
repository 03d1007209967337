//! Certificates are replaced while calls run, and no call notices.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use mesh_local::Holder;
use mesh_rpc::{
    Disposition, disposition,
    tls::{Credentials, FilesError},
};
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::support::{Callee, HOUR, Lab, Options, who};

const CALLERS: usize = 16;
const REPLACEMENTS: u64 = 20;
const CALLS_BETWEEN: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_under_load_and_no_call_is_lost() {
    let lab = Lab::new();
    let (orders, gateway) = (lab.credentials("orders"), lab.credentials("gateway"));
    let age = Duration::from_millis(20);
    let callee = Callee::start(Options { age, ..Options::tls("orders", &orders) }).await;
    let load = Arc::new(Load::default());
    let channel = callee.channel(&gateway, "orders");
    let callers: Vec<_> =
        (0..CALLERS).map(|_| tokio::spawn(Arc::clone(&load).call(channel.clone()))).collect();

    let begin = SystemTime::now();
    for replacement in 1..=REPLACEMENTS {
        let ends = begin + HOUR + Duration::from_secs(60 * replacement);
        for (credentials, service) in [(&orders, "orders"), (&gateway, "gateway")] {
            let holder = Holder::Service(service.to_owned());
            lab.authority.issue_between(&holder, begin - HOUR, ends).unwrap();
            assert!(credentials.reload().unwrap());
        }
        load.answer_more(CALLS_BETWEEN).await;
    }
    load.used(&callee, orders.ends().min(gateway.ends())).await;
    load.over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }

    assert_eq!(callee.handled(), *load.answered.borrow(), "none is handled twice");
    let mut ends = callee.seen.ends.lock().unwrap().clone();
    ends.dedup();
    assert!(ends.len() > 3, "connections were made with several certificates: {}", ends.len());
}

#[tokio::test]
async fn an_open_connection_goes_on_and_knows_when_its_certificate_ends() {
    let lab = Lab::new();
    let orders = lab.credentials("orders");
    let callee = Callee::start(Options::tls("orders", &orders)).await;
    let gateway = lab.credentials("gateway");
    let (first, end) = (callee.channel(&gateway, "orders"), orders.ends().min(gateway.ends()));
    who(&first).await.unwrap();

    let now = SystemTime::now();
    let holder = Holder::Service("orders".to_owned());
    lab.authority.issue_between(&holder, now - HOUR, now + HOUR / 2).unwrap();
    orders.reload().unwrap();
    who(&first).await.unwrap();
    who(&callee.channel(&gateway, "orders")).await.unwrap();

    let ends = callee.seen.ends.lock().unwrap().clone();
    assert_eq!(ends, [end, orders.ends()], "one connection before, one after");
}

#[tokio::test]
async fn files_are_followed_without_being_told() {
    let lab = Lab::new();
    let orders = Credentials::follow(lab.files("orders")).unwrap();
    let before = orders.ends();

    let now = SystemTime::now();
    let holder = Holder::Service("orders".to_owned());
    lab.authority.issue_between(&holder, now, now + 2 * HOUR).unwrap();

    let followed = async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while orders.ends() == before {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), followed).await.expect("it is noticed");
}

#[tokio::test]
async fn files_that_do_not_belong_together_are_waited_out() {
    let lab = Lab::new();
    let files = lab.files("orders");
    let orders = Credentials::read(files.clone()).unwrap();
    let (key, ends) = (fs::read(&files.key).unwrap(), orders.ends());

    lab.files("orders");
    let new_key = fs::read(&files.key).unwrap();
    fs::write(&files.key, key).unwrap();
    let torn = orders.reload();
    fs::write(&files.key, "nonsense").unwrap();
    let nonsense = orders.reload();

    assert!(matches!(torn, Err(FilesError::Mismatch { .. })), "{torn:?}");
    assert!(matches!(nonsense, Err(FilesError::Unusable { .. })), "{nonsense:?}");
    assert_eq!(orders.ends(), ends, "what was good stays");
    fs::write(&files.key, new_key).unwrap();
    assert!(orders.reload().unwrap());
}

/// Calls that are repeated, as the stack does, when the callee has surely not seen them.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answered: watch::Sender<usize>,
}

impl Load {
    async fn call(self: Arc<Self>, channel: Channel) {
        while !self.over.load(Ordering::Relaxed) {
            let status = match who(&channel).await {
                Ok(peer) => {
                    assert_eq!(peer, "gateway by MutualTls");
                    self.answered.send_modify(|answered| *answered += 1);
                    continue;
                }
                Err(status) => status,
            };
            assert_ne!(disposition(&status), Disposition::MaybeProcessed, "lost: {status:?}");
        }
    }

    async fn answer_more(&self, calls: usize) {
        let mut answered = self.answered.subscribe();
        let enough = *answered.borrow() + calls;
        let _ = answered.wait_for(|answered| *answered >= enough).await;
    }

    /// Waits until a connection was made with the last certificates.
    async fn used(&self, callee: &Callee, ends: SystemTime) {
        while callee.seen.ends.lock().unwrap().last() != Some(&ends) {
            self.answer_more(1).await;
        }
    }
}
