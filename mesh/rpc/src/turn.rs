//! When a connection's task has its turn: when enough of its calls have something to send, or when
//! no other task is ready.
//!
//! tokio runs a task that was just woken before all that wait, so a connection would be run, and
//! would write, for each call that has something to send: a system call for each. Waiting for all
//! calls that are ready is no better, because the peer, idle meanwhile, then gets them all at once
//! and is waited for in its turn. So a batch leaves as soon as it is one, and whatever there is
//! leaves when there is nothing else to do.
//!
//! This stack's own connections have it on both sides. Whoever serves HTTP/2 without its server says it for
//! each answer that is about to leave:
//! ```
//! # use std::{convert::Infallible, sync::Arc};
//! # use http::{Request, Response};
//! # use hyper::{body::Incoming, server::conn::http2, service::service_fn};
//! # use hyper_util::rt::{TokioExecutor, TokioIo};
//! # use mesh_rpc::turn::Turn;
//! async fn serve(stream: tokio::net::TcpStream) -> hyper::Result<()> {
//!     let turn = Arc::<Turn>::default();
//!     let said = Arc::clone(&turn);
//!     let service = service_fn(move |request: Request<Incoming>| {
//!         let said = Arc::clone(&said);
//!         async move {
//!             let answer = Response::new(request.into_body());
//!             said.say();
//!             Ok::<_, Infallible>(answer)
//!         }
//!     });
//!     let http = http2::Builder::new(TokioExecutor::new());
//!     turn.run(http.serve_connection(TokioIo::new(stream), service)).await
//! }
//! ```

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Release},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use tokio::task::AbortHandle;

/// Calls whose frames are worth a system call.
const BATCH: usize = 8;

/// What a connection's task and its calls share.
#[derive(Debug, Default)]
pub struct Turn {
    /// Calls that have had something to send since the connection's last turn.
    said: AtomicUsize,
    connection: AtomicWaker,
    /// Comes after whatever is ready now.
    tail: AtomicWaker,
    is_asked: AtomicBool,
    is_due: AtomicBool,
}

impl Turn {
    /// Notes that a call is about to hand something to the connection. What leaves without a word, such
    /// as the later parts of a stream, leaves at once.
    pub fn say(&self) {
        if self.said.fetch_add(1, AcqRel) + 1 == BATCH {
            self.connection.wake();
        }
    }

    /// Runs a connection's `work`, whose calls tell this when they have something to send. Must be called
    /// inside a tokio runtime.
    pub fn run<F: Future>(self: &Arc<Self>, work: F) -> InTurn<F> {
        let tail = tokio::spawn(tail(Arc::clone(self))).abort_handle();
        InTurn { work: Box::pin(work), turn: Arc::clone(self), tail }
    }

    /// Whether the connection has its turn now that it was woken.
    fn is_now(&self) -> bool {
        let said = self.said.load(Acquire);
        // Something else woke it: what was read, or time.
        said == 0 || said >= BATCH || self.is_due.load(Acquire)
    }
}

/// A connection at work, in turn with its calls.
pub struct InTurn<F> {
    work: Pin<Box<F>>,
    turn: Arc<Turn>,
    tail: AbortHandle,
}

impl<F: Future> Future for InTurn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.turn.connection.register(cx.waker());
        if !self.turn.is_now() {
            if !self.turn.is_asked.swap(true, AcqRel) {
                self.turn.tail.wake();
            }
            return Poll::Pending;
        }
        self.turn.is_due.store(false, Release);
        self.turn.said.store(0, Release);
        self.work.as_mut().poll(cx)
    }
}

impl<F> Drop for InTurn<F> {
    fn drop(&mut self) {
        self.tail.abort();
    }
}

/// Gives the connection its turn after whatever was ready when it was asked.
async fn tail(turn: Arc<Turn>) {
    loop {
        poll_fn(|cx| {
            turn.tail.register(cx.waker());
            if turn.is_asked.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        behind_the_others().await;
        turn.is_asked.store(false, Release);
        turn.is_due.store(true, Release);
        turn.connection.wake();
    }
}

/// The runtime puts a task that wakes itself behind those that are ready.
async fn behind_the_others() {
    let mut is_behind = false;
    poll_fn(|cx| {
        if is_behind {
            return Poll::Ready(());
        }
        is_behind = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Mutex, atomic::Ordering::Relaxed},
        time::Duration,
    };

    use tokio::{sync::Notify, task::yield_now, time::timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// What h2 is: a queue that calls fill, and a connection that empties it when it is polled.
    #[derive(Default)]
    struct Wire {
        turn: Arc<Turn>,
        queued: AtomicUsize,
        woken: AtomicWaker,
        /// Calls that had said something, turn by turn.
        turns: Mutex<Vec<usize>>,
        sent: AtomicUsize,
        moved: Notify,
    }

    impl Wire {
        fn send(&self) {
            self.turn.say();
            self.queued.fetch_add(1, AcqRel);
            self.woken.wake();
        }

        fn spawn(self: &Arc<Self>) {
            let wire = Arc::clone(self);
            let work = poll_fn(move |cx| {
                wire.woken.register(cx.waker());
                let taken = wire.queued.swap(0, AcqRel);
                wire.turns.lock().unwrap().push(taken);
                wire.sent.fetch_add(taken, Relaxed);
                wire.moved.notify_one();
                Poll::<()>::Pending
            });
            tokio::spawn(self.turn.run(work));
        }

        async fn until(&self, sent: usize) {
            let all = async {
                while self.sent.load(Relaxed) < sent {
                    self.moved.notified().await;
                }
            };
            timeout(LIMIT, all).await.expect("something that was said never left");
        }
    }

    /// Lets so many calls that are all ready send, and returns what left turn by turn.
    async fn turns(calls: usize) -> Vec<usize> {
        let wire = Arc::new(Wire::default());
        wire.spawn();
        yield_now().await;
        wire.turns.lock().unwrap().clear();
        for _ in 0..calls {
            let wire = Arc::clone(&wire);
            tokio::spawn(async move { wire.send() });
        }
        wire.until(calls).await;
        let turns = wire.turns.lock().unwrap().clone();
        turns.into_iter().filter(|taken| *taken > 0).collect()
    }

    /// On one thread, as services are, and from a task of it.
    fn on_one_thread(calls: usize) -> Vec<usize> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async { tokio::spawn(turns(calls)).await.unwrap() })
    }

    #[test]
    fn what_is_ready_leaves_together() {
        assert_eq!(on_one_thread(1), [1]);
        assert_eq!(on_one_thread(BATCH - 1), [BATCH - 1]);
    }

    #[test]
    fn a_batch_does_not_wait_for_more() {
        let turns = on_one_thread(4 * BATCH);

        assert!(turns.len() >= 4, "the peer was let wait: {turns:?}");
        assert!(turns.len() <= 8, "calls left one by one: {turns:?}");
    }

    #[tokio::test]
    async fn what_wakes_it_without_a_call_is_looked_at_at_once() {
        let wire = Arc::new(Wire::default());
        wire.spawn();
        yield_now().await;
        let before = wire.turns.lock().unwrap().len();

        wire.woken.wake();
        yield_now().await;

        assert_eq!(wire.turns.lock().unwrap().len(), before + 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nothing_that_was_said_is_forgotten_whatever_runs_beside_it() {
        const CALLERS: usize = 16;
        const CALLS: usize = 2_000;
        let wire = Arc::new(Wire::default());
        wire.spawn();

        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let wire = Arc::clone(&wire);
                tokio::spawn(async move {
                    for call in 0..CALLS {
                        wire.send();
                        // Now and then all is quiet, so that the last word has nobody behind it.
                        if call % 7 == caller % 7 {
                            yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }

        wire.until(CALLERS * CALLS).await;
    }
}
