//! Stands where a service should be, whichever it is: keeps whoever calls waiting, answers with nothing,
//! or refuses.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    http::{Response, header::CONTENT_TYPE},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tonic::{Code, body::Body};

/// What becomes of those who call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// They wait until it does something else.
    Wait,
    /// They are answered with nothing.
    Answer,
    /// They are told UNAVAILABLE.
    Refuse,
    /// They are told INTERNAL.
    Fail,
}

/// A server of every contract. Ends with the value.
pub struct Double {
    pub address: SocketAddr,
    under_way: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    does: watch::Sender<Does>,
    _server: JoinSet<()>,
}

impl Double {
    pub async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (under_way, calls) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let does = watch::Sender::new(does);
        let (waiting, all, told) = (Arc::clone(&under_way), Arc::clone(&calls), does.clone());
        let answer = move || {
            all.fetch_add(1, Ordering::Relaxed);
            answer(Counted::one(&waiting), told.subscribe())
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            axum::serve(listener, Router::new().fallback(answer)).await.unwrap();
        });
        Self { address, under_way, calls, does, _server: tasks }
    }

    /// Calls that have come.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Calls that wait for their answer.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// From now on it does this, also to those that wait.
    pub fn now(&self, does: Does) {
        self.does.send_replace(does);
    }
}

async fn answer(_waiting: Counted, mut told: watch::Receiver<Does>) -> Response<Body> {
    let does = told.wait_for(|does| *does != Does::Wait).await;
    let code = match does.as_deref() {
        Ok(Does::Answer) => Code::Ok,
        Ok(Does::Fail) => Code::Internal,
        _ => Code::Unavailable,
    };
    let answer = Response::builder()
        .header(CONTENT_TYPE, "application/grpc")
        .header("grpc-status", code as i32);
    answer.body(Body::empty()).unwrap()
}

/// Counts a call for as long as it lives, also if its caller goes away.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
