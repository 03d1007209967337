//! Callers that call again and again.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use mesh_rpc::{Disposition, disposition, timeout_request};
use tokio::{
    task::JoinHandle,
    time::{Duration, Instant, sleep},
};
use tonic::Status;

use crate::support::{MS, PATIENCE, Stack, add, read};

/// What became of calls.
#[derive(Debug, Default)]
pub struct Tally {
    pub answered: usize,
    /// Those that failed although it was safe to send them again: reads, and what surely was not
    /// done.
    pub failed: Vec<Status>,
    /// Those that failed and may have been done.
    pub uncertain: Vec<Status>,
}

impl Tally {
    pub fn calls(&self) -> usize {
        self.answered + self.failed.len() + self.uncertain.len()
    }
}

/// What callers call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// What may be repeated.
    Reads,
    /// What may not.
    Adds,
    /// One caller this, the next one that.
    Both,
}

/// Callers at work.
pub struct Load {
    tally: Arc<Mutex<Tally>>,
    over: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn begin(stack: &Stack, callers: usize, calls: Calls) -> Self {
        let (tally, over) = (Arc::<Mutex<Tally>>::default(), Arc::<AtomicBool>::default());
        let callers = (0..callers)
            .map(|number| {
                let reads = calls == Calls::Reads || (calls == Calls::Both && number % 2 == 0);
                let (stack, tally, over) = (stack.clone(), Arc::clone(&tally), Arc::clone(&over));
                tokio::spawn(async move {
                    while !over.load(Relaxed) {
                        call(&stack, reads, &tally).await;
                    }
                })
            })
            .collect();
        Self { tally, over, callers }
    }

    /// What became of the calls since it was last asked.
    pub fn so_far(&self) -> Tally {
        mem::take(&mut *self.tally.lock().unwrap())
    }

    /// Waits until so many are answered, or something fails that should not.
    pub async fn reaches(&self, answered: usize) {
        let (mut last, mut progress) = (0, Instant::now());
        loop {
            let (now, failed) = {
                let tally = self.tally.lock().unwrap();
                (tally.answered, !tally.failed.is_empty())
            };
            if now >= answered || failed {
                return;
            }
            if now > last {
                (last, progress) = (now, Instant::now());
            }
            assert!(progress.elapsed() < PATIENCE, "no call is answered after {now}");
            sleep(MS).await;
        }
    }

    /// Lets callers call for a while and says what became of the calls.
    pub async fn lasts(&self, time: Duration) -> Tally {
        sleep(time).await;
        self.so_far()
    }

    /// Ends it, and says what became of the last calls.
    pub async fn ends(self) -> Tally {
        self.over.store(true, Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
        mem::take(&mut *self.tally.lock().unwrap())
    }
}

async fn call(stack: &Stack, reads: bool, tally: &Mutex<Tally>) {
    let answer = match reads {
        true => stack.client().read(timeout_request(read("1"), PATIENCE)).await.map(|_| ()),
        false => stack.client().add(timeout_request(add("1"), PATIENCE)).await.map(|_| ()),
    };
    {
        let mut tally = tally.lock().unwrap();
        match answer {
            Ok(()) => return tally.answered += 1,
            Err(status) if reads || disposition(&status) != Disposition::MaybeProcessed => {
                tally.failed.push(status);
            }
            Err(status) => tally.uncertain.push(status),
        }
    }
    // A caller does not call again before time passes.
    sleep(MS).await;
}
