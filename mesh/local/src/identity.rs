//! Recognises a process again, so that a recycled process id is never signalled.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A process: its id and when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process id.
    pub pid: u32,
    started: u64,
}

impl Identity {
    /// The process that has this id now; `None` if there is none, or only its unreaped remains.
    pub fn of(pid: u32) -> Option<Identity> {
        let started = if fs::exists("/proc/self/stat").unwrap_or(false) {
            started_by_proc(pid)?
        } else {
            started_by_ps(pid)?
        };
        Some(Identity { pid, started })
    }

    /// Whether this very process still runs.
    pub fn alive(&self) -> bool {
        Identity::of(self.pid) == Some(*self)
    }

    /// Sends a signal. Returns false if the process is gone.
    pub fn signal(&self, signal: Signal) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        match pid {
            Some(pid) if self.alive() => kill_process(pid, signal).is_ok(),
            _ => false,
        }
    }
}

/// Clock ticks from boot to the start of the process, from `/proc/PID/stat`.
fn started_by_proc(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name, in parentheses, may hold anything: count from its end.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn started_by_ps(pid: u32) -> Option<u64> {
    let output = std::process::Command::new("ps")
        .args(["-o", "state=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let (state, started) = line.trim().split_once(char::is_whitespace)?;
    if state.starts_with('Z') {
        return None;
    }
    let digest = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, started.trim().as_bytes());
    Some(digest.as_u64_pair().0)
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn this_process_is_alive_and_a_dead_one_is_not() {
        let me = Identity::of(std::process::id()).unwrap();
        assert!(me.alive());

        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(Identity::of(pid), None);
    }

    #[test]
    fn another_process_under_the_same_id_is_not_the_same() {
        let me = Identity::of(std::process::id()).unwrap();
        let other = Identity { started: me.started + 1, ..me };
        assert!(!other.alive());
    }
}
