//! The thread on which signals leave. It gives way to those that serve callers: a batch of spans is
//! written in one go, and on few cores whoever is pushed aside for it is waited for by others.

use std::sync::{Mutex, PoisonError, mpsc};

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle};

/// How much less of a busy processor it gets than others: about a tenth of one's share. What waits
/// for longer than the queues hold is dropped.
const NICE: i32 = 10;

/// Makes something on that thread, in its runtime: the tasks and the threads that are begun there stay
/// there, and give way as well.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn make<T: Send + 'static>(
    make: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, made) = mpsc::sync_channel(1);
    handle()?.spawn(async move {
        let _ = sender.send(make());
    });
    made.recv().context("telemetry cannot be started: it says above why")
}

/// The thread's runtime; the first who asks starts it.
fn handle() -> anyhow::Result<Handle> {
    static STARTED: Mutex<Option<Handle>> = Mutex::new(None);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*started {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = started.insert(runtime.handle().clone()).clone();
    std::thread::Builder::new().name("telemetry".to_owned()).spawn(move || {
        give_way();
        runtime.block_on(std::future::pending::<()>());
    })?;
    Ok(handle)
}

/// On Linux a thread has a niceness of its own, which the threads that it starts inherit; elsewhere it
/// is the process' and stays as it is.
fn give_way() {
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::nice(NICE)
    {
        tracing::debug!(%error, "telemetry does not give way");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_made_aside_gives_way_and_who_asked_does_not() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let aside = make(move || (niceness(), std::thread::spawn(niceness).join().unwrap()));
        let expected = (before + NICE).min(19);
        assert_eq!(aside.unwrap(), (expected, expected));
        assert_eq!(niceness(), before);
    }

    #[test]
    fn tasks_that_are_begun_aside_go_on_there() {
        let (sender, told) = mpsc::channel();
        make(move || {
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                sender.send(std::thread::current().name().map(str::to_owned)).unwrap();
            });
        })
        .unwrap();
        assert_eq!(told.recv().unwrap().as_deref(), Some("telemetry"));
    }
}
