//! Who looks after the processes of a home: at most one supervisor.

use std::fs::{self, File, TryLockError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mesh_local::{Home, Identity, Signal, stop_leftovers};

use crate::state::State;

const LOCK: &str = "supervisor.lock";
const PID: &str = "supervisor.pid";
/// How long leftovers of a killed supervisor may take to end.
const LEFTOVERS: Duration = Duration::from_secs(10);

/// The right to look after the processes of a home. The system takes it back when the process
/// that holds it ends, however it ends.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
    home: Home,
}

impl Claim {
    /// Takes the right; `None` if another process has it.
    pub fn take(home: &Home) -> Result<Option<Claim>> {
        let path = home.path(LOCK);
        let lock = File::create(&path);
        let lock = lock.with_context(|| format!("cannot create {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Claim { _lock: lock, home: home.clone() })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// As [`take`](Self::take), but waits a moment if the process that had the right is ending: a
    /// killed one is seen as gone before the system has closed its files.
    pub async fn take_over(home: &Home) -> Result<Option<Claim>> {
        let begun = Instant::now();
        loop {
            if let Some(claim) = Claim::take(home)? {
                return Ok(Some(claim));
            }
            let is_ending = holder(home).is_some_and(|pid| Identity::of(pid).is_none());
            if !is_ending || begun.elapsed() > LEFTOVERS {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The process that looks after a home; none if it is gone, however it went.
    pub fn held_by(home: &Home) -> Option<u32> {
        holder(home).filter(|pid| Identity::of(*pid).is_some())
    }

    /// Says which process has the right, for `down`.
    pub fn sign(&self) -> Result<()> {
        mesh_local::replace(&self.home.path(PID), &format!("{}\n", std::process::id()))?;
        Ok(())
    }

    /// Ends what a killed supervisor left, and forgets its state. Returns how many processes.
    pub async fn clean_up(&self) -> Result<usize> {
        let stopped = stop_leftovers(&self.home.run()?, LEFTOVERS).await?;
        State::remove(&self.home)?;
        let _ = fs::remove_file(self.home.path(PID));
        Ok(stopped)
    }

    /// Asks the supervisor of a home to end everything, and waits until it has. A supervisor that
    /// does not end in time is killed. Returns the right, and false if nobody had it.
    pub async fn wrest(home: &Home, patience: Duration) -> Result<(Claim, bool)> {
        if let Some(claim) = Claim::take(home)? {
            return Ok((claim, false));
        }
        let supervisor = holder(home).and_then(Identity::of).with_context(|| {
            format!(
                "a process holds {}, but {} does not say which: it may be starting, try again",
                home.path(LOCK).display(),
                home.path(PID).display()
            )
        })?;
        supervisor.signal(Signal::TERM);
        let begun = Instant::now();
        let mut killed = false;
        loop {
            if let Some(claim) = Claim::take(home)? {
                return Ok((claim, true));
            }
            if begun.elapsed() > patience && !killed {
                killed = supervisor.signal(Signal::KILL);
            }
            if begun.elapsed() > patience * 2 {
                bail!("process {} does not end: kill it by hand", supervisor.pid);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The process that signed for the right last.
fn holder(home: &Home) -> Option<u32> {
    fs::read_to_string(home.path(PID)).ok()?.trim().parse().ok()
}
