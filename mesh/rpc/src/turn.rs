//! When a connection's task has its turn: after the tasks of its calls.
//!
//! tokio runs a task that was just woken before all that wait, so a connection would be run, and
//! write, for each call that has something to send. Stepping back once lets all calls that are ready
//! say what they have to say, which then leaves in one piece: at 64 calls under way a system call
//! serves dozens of them. A connection that nobody waits behind is polled again at once.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Polls what it wraps after whatever else is ready, each time that it is woken.
pub(crate) struct Last<F> {
    work: Pin<Box<F>>,
    stepped_back: bool,
}

impl<F> Last<F> {
    pub(crate) fn new(work: F) -> Self {
        Self { work: Box::pin(work), stepped_back: false }
    }
}

impl<F: Future> Future for Last<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.stepped_back = !self.stepped_back;
        if self.stepped_back {
            // The runtime puts a task that wakes itself behind the others.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.work.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Notify;

    use super::*;

    /// One thread of the runtime that services have.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn all_that_is_ready_comes_first() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let listed = Arc::clone(&said);

        let inside = tokio::spawn(async move {
            let woken = Arc::new(Notify::new());
            let (written, wake) = (Arc::clone(&listed), Arc::clone(&woken));
            let connection = tokio::spawn(Last::new(async move {
                wake.notified().await;
                written.lock().unwrap().push("written");
            }));
            for call in ["one", "two", "three"] {
                let (said, woken) = (Arc::clone(&listed), Arc::clone(&woken));
                tokio::spawn(async move {
                    said.lock().unwrap().push(call);
                    woken.notify_one();
                });
            }
            connection.await.unwrap();
        });
        inside.await.unwrap();

        let said = said.lock().unwrap();
        assert_eq!((said.len(), said.last()), (4, Some(&"written")), "{said:?}");
    }
}
