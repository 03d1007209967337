//! Keeps a process running.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::{Identity, PidFile, User};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const HEALTHY_AFTER: Duration = Duration::from_secs(5);

/// How to run a process.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    /// What people call it.
    pub name: String,
    /// Which of several it is, from 0.
    pub replica: u32,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables on top of our own environment.
    pub env: Vec<(String, String)>,
    /// Its working directory; ours if not given.
    pub directory: Option<PathBuf>,
    /// The file that takes its output; grows, never truncated.
    pub log: PathBuf,
    /// The file that says which process it is while it runs.
    pub pid_file: Option<PathBuf>,
    /// The user it runs as; ours if not given.
    pub user: Option<User>,
    /// The signal that asks it to end.
    pub stop: Signal,
}

impl ProcessSpec {
    /// Starts the process once, in a process group of its own: a Ctrl-C at the terminal reaches
    /// only us, and we end it in order.
    pub fn command(&self) -> io::Result<std::process::Command> {
        let log = self.open_log()?;
        let mut command = std::process::Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(user) = &self.user {
            // The standard library drops our supplementary groups when it changes the user.
            std::os::unix::process::CommandExt::uid(&mut command, user.uid);
            std::os::unix::process::CommandExt::gid(&mut command, user.gid);
        }
        Ok(command)
    }

    /// Notes which process it is. `keeper` is who ends it; nobody if not given.
    pub fn note(&self, process: Identity, keeper: Option<Identity>) -> io::Result<()> {
        let Some(path) = &self.pid_file else { return Ok(()) };
        PidFile { process, keeper, interrupt: self.stop == Signal::INT }.write(path)
    }

    /// Says so where people look for what the process says.
    fn cannot_start(&self, error: &io::Error) -> String {
        let end = format!("cannot start {}: {error}", self.program.display());
        // Where even that cannot be written, the status has it.
        let _ = self.open_log().and_then(|mut log| writeln!(log, "{end}"));
        end
    }

    fn open_log(&self) -> io::Result<File> {
        if let Some(parent) = self.log.parent() {
            fs::create_dir_all(parent)?;
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log)
    }
}

/// What a supervised process does now.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The running process; `None` between two runs.
    pub process: Option<Identity>,
    /// How often it was started.
    pub starts: u64,
    /// How the last run ended.
    pub last_end: Option<String>,
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
enum Intent {
    Run,
    /// Down until told to run.
    Down(Signal, Duration),
    /// Down for good.
    End(Signal, Duration),
}

/// A process that is started again whenever it ends: after 100 ms, doubling up to 1 s, and anew
/// from 100 ms once a run lasted 5 s. Killed when the runtime that keeps it goes away.
#[derive(Clone)]
pub struct Supervised {
    shared: Arc<Shared>,
}

struct Shared {
    spec: ProcessSpec,
    status: watch::Sender<Status>,
    intent: watch::Sender<Intent>,
}

impl fmt::Debug for Supervised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervised").field("name", &self.shared.spec.name).finish_non_exhaustive()
    }
}

impl Supervised {
    /// Starts the process and looks after it from now on.
    pub fn start(spec: ProcessSpec) -> Supervised {
        let shared = Arc::new(Shared {
            spec,
            status: watch::Sender::new(Status::default()),
            intent: watch::Sender::new(Intent::Run),
        });
        tokio::spawn(keep(Arc::clone(&shared)));
        Supervised { shared }
    }

    /// How it is run.
    pub fn spec(&self) -> &ProcessSpec {
        &self.shared.spec
    }

    /// What it does now.
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// Follows what it does.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// The process id, if it runs now.
    pub fn pid(&self) -> Option<u32> {
        self.status().process.map(|process| process.pid)
    }

    /// Sends a signal to the running process. Returns false if there is none.
    pub fn signal(&self, signal: Signal) -> bool {
        self.status().process.is_some_and(|process| process.signal(signal))
    }

    /// Waits until it was started at least `starts` times and runs.
    pub async fn started(&self, starts: u64) -> Option<Identity> {
        let mut status = self.watch();
        let now =
            status.wait_for(|now| now.ended || (now.starts >= starts && now.process.is_some()));
        now.await.ok()?.process
    }

    /// Ends the process with `signal` (SIGKILL when patience runs out) and keeps it down until
    /// [`Supervised::up`].
    pub async fn down(&self, signal: Signal, patience: Duration) {
        self.shared.intent.send_replace(Intent::Down(signal, patience));
        let mut status = self.watch();
        // Not "no process now": a start may be under way. The keeper says when it is down.
        let _ = status.wait_for(|now| now.ended || now.last_end.as_deref() == Some(DOWN)).await;
    }

    /// Lets a process run again that was taken down.
    pub fn up(&self) {
        self.shared.status.send_modify(|status| status.last_end = None);
        self.shared.intent.send_if_modified(|intent| {
            let down = matches!(intent, Intent::Down(..));
            if down {
                *intent = Intent::Run;
            }
            down
        });
    }

    /// Kills the process and never starts it again; does not wait for its end.
    pub fn abandon(&self) {
        self.shared.intent.send_replace(Intent::End(Signal::KILL, Duration::ZERO));
        self.signal(Signal::KILL);
    }

    /// Ends the process for good: asks, waits, and kills it when patience runs out.
    pub async fn stop(&self, patience: Duration) {
        self.shared.intent.send_replace(Intent::End(self.spec().stop, patience));
        let mut status = self.watch();
        let _ = status.wait_for(|now| now.ended).await;
    }
}

/// What `last_end` says of a process that is kept down.
const DOWN: &str = "taken down";

async fn keep(shared: Arc<Shared>) {
    let mut intent = shared.intent.subscribe();
    let mut pause = FIRST_PAUSE;
    loop {
        let now = *intent.borrow_and_update();
        match now {
            Intent::End(..) => break,
            Intent::Down(..) => {
                shared.status.send_modify(|status| status.last_end = Some(DOWN.to_owned()));
                if intent.changed().await.is_err() {
                    break;
                }
                continue;
            }
            Intent::Run => {}
        }
        let begun = Instant::now();
        let end = match start(&shared) {
            Ok(child) => follow(child, &mut intent).await,
            Err(error) => shared.spec.cannot_start(&error),
        };
        if let Some(pid_file) = &shared.spec.pid_file {
            let _ = fs::remove_file(pid_file);
        }
        shared.status.send_modify(|status| {
            status.process = None;
            status.last_end = Some(end.clone());
        });
        if begun.elapsed() >= HEALTHY_AFTER {
            pause = FIRST_PAUSE;
        }
        if matches!(*intent.borrow(), Intent::Run) {
            tracing::info!(process = shared.spec.name, end, "process ended");
            let _ = timeout(pause, intent.changed()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    shared.status.send_modify(|status| status.ended = true);
}

fn start(shared: &Shared) -> io::Result<Child> {
    let mut command = Command::from(shared.spec.command()?);
    let child = command.kill_on_drop(true).spawn()?;
    let process = child.id().and_then(Identity::of);
    if let Some(process) = process {
        shared.spec.note(process, Identity::of(std::process::id()))?;
    }
    shared.status.send_modify(|status| {
        status.process = process;
        status.starts += 1;
        status.last_end = None;
    });
    Ok(child)
}

/// Waits for the end of the process; brings it about when that is what is wanted.
async fn follow(mut child: Child, intent: &mut watch::Receiver<Intent>) -> String {
    let (signal, patience) = loop {
        tokio::select! {
            end = child.wait() => return describe(end),
            changed = intent.changed() => {
                let now = *intent.borrow_and_update();
                match now {
                    Intent::Run if changed.is_ok() => {}
                    Intent::Run => break (Signal::KILL, Duration::ZERO),
                    Intent::Down(signal, patience) | Intent::End(signal, patience) => {
                        break (signal, patience);
                    }
                }
            }
        }
    };
    if let Some(process) = child.id().and_then(Identity::of) {
        process.signal(signal);
        process.signal(Signal::CONT);
    }
    match timeout(patience, child.wait()).await {
        Ok(end) => describe(end),
        Err(_) => {
            let _ = child.start_kill();
            describe(child.wait().await)
        }
    }
}

fn describe(end: io::Result<std::process::ExitStatus>) -> String {
    end.map_or_else(|error| error.to_string(), |status| status.to_string())
}
