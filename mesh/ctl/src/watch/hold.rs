//! Holds processes for a moment, so that people can follow, and kills them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mesh_local::{Identity, Signal, http};
use tokio::time::sleep;

/// Lets everybody go on when its input ends, however the watcher ended.
const GUARD: &str = "trap '' INT TERM HUP
while read -r pid; do pids=\"$pids $pid\"; done
test -n \"$pids\" && kill -CONT $pids";
/// How long a killed process may take to be ready again.
const RETURN: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(10);

/// A process of a service, or of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Where it says whether it is ready; servers do not.
    pub admin: Option<SocketAddr>,
}

/// Finds the processes of a service or a server, as they are now.
pub type Find = Box<dyn Fn(&str) -> Vec<Process> + Send + Sync>;

/// Who takes part in an order's steps.
const DOERS: [&str; 4] = ["orders", "inventory", "payments", "shipping"];

/// Whether the services of an order's steps run in processes of their own: only then one can be
/// held, or killed, without the others.
pub fn can_hold(find: &Find) -> bool {
    let mut seen = BTreeSet::new();
    DOERS.into_iter().all(|name| {
        let found = find(name);
        !found.is_empty() && found.iter().all(|process| seen.insert(process.pid))
    })
}

/// Who is held now.
pub(super) struct Holder {
    pub find: Find,
    held: Vec<(String, Identity)>,
    guard: Child,
}

impl Holder {
    pub fn new(find: Find) -> Result<Holder> {
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Out of reach of a Ctrl-C at the terminal.
        guard.process_group(0);
        let guard = guard.spawn().context("cannot start sh")?;
        Ok(Holder { find, held: Vec::new(), guard })
    }

    /// Whether anybody is held.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Stops every process of a service until it is let go.
    pub fn hold(&mut self, service: &str) -> Result<()> {
        for process in (self.find)(service) {
            let Some(identity) = Identity::of(process.pid) else { continue };
            // The guard first: whoever is held is known to it.
            let guard = self.guard.stdin.as_mut().context("the guard has no input")?;
            writeln!(guard, "{}", identity.pid).context("the guard is gone")?;
            if identity.signal(Signal::STOP) {
                self.held.push((service.to_owned(), identity));
            }
        }
        Ok(())
    }

    /// Lets every process of a service go on.
    pub fn release(&mut self, service: &str) {
        self.held.retain(|(name, held)| {
            let theirs = name == service;
            if theirs {
                held.signal(Signal::CONT);
            }
            !theirs
        });
    }

    /// Kills every process of a service or a server. Returns those that it killed.
    pub fn kill(&mut self, service: &str) -> Result<Vec<u32>> {
        let mut killed = Vec::new();
        for process in (self.find)(service) {
            if Identity::of(process.pid).is_some_and(|identity| identity.signal(Signal::KILL)) {
                killed.push(process.pid);
            }
        }
        if killed.is_empty() {
            bail!("{service} does not run, so it cannot be killed");
        }
        self.held.retain(|(name, _)| name != service);
        Ok(killed)
    }

    /// Waits until others run in the place of those that were killed, and are ready.
    pub async fn back(&self, service: &str, killed: &[u32]) -> Result<Vec<u32>> {
        let begun = Instant::now();
        loop {
            let now = (self.find)(service);
            let new: Vec<u32> = now.iter().map(|process| process.pid).collect();
            let all_new = !now.is_empty()
                && new.iter().all(|pid| !killed.contains(pid) && Identity::of(*pid).is_some());
            if all_new && are_ready(&now).await {
                return Ok(new);
            }
            if begun.elapsed() > RETURN {
                bail!("{service} was killed and is not back after {} s", RETURN.as_secs());
            }
            sleep(GLANCE).await;
        }
    }
}

async fn are_ready(processes: &[Process]) -> bool {
    for process in processes {
        if let Some(admin) = process.admin
            && !http::is_ok(admin, "/readyz").await
        {
            return false;
        }
    }
    true
}

impl Drop for Holder {
    fn drop(&mut self) {
        for (_, held) in &self.held {
            held.signal(Signal::CONT);
        }
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_stopped(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(10), "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn whoever_is_held_goes_on_even_if_the_holder_just_disappears() {
        let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = sleeper.id();
        let find = move |_: &str| vec![Process { pid, admin: None }];
        let mut holder = Holder::new(Box::new(find)).unwrap();
        holder.hold("sleeper").unwrap();
        eventually("it to stop", || is_stopped(pid));
        assert!(!can_hold(&holder.find), "one process is not four");

        // What the system does when a process is killed: its end of the pipe closes.
        holder.held.clear();
        drop(holder.guard.stdin.take());

        eventually("it to go on", || !is_stopped(pid));
        assert_eq!(holder.kill("sleeper").unwrap(), [pid]);
        sleeper.wait().unwrap();
        assert!(holder.kill("sleeper").is_err());
    }
}
