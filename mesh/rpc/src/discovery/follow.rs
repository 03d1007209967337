//! The task that follows one source.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use super::{
    Endpoints, Settings, Snapshot, Source, State,
    dns::Dns,
    file::File,
    known::{Details, Finding, Known},
    schedule::Schedule,
};

/// How often an answer that there is no address must come before it is believed.
const BELIEVED_OF_DNS: u32 = 2;
const BELIEVED_OF_FILE: u32 = 1;

/// Begins to follow `source`.
pub(super) fn begin(source: &Source, settings: Settings) -> Endpoints {
    let (lookup, known) = match source {
        Source::Static(addresses) => {
            return Endpoints::unchanging(source, addresses.clone(), false);
        }
        Source::Mesh { via: Some(via), .. } => {
            return Endpoints::unchanging(source, vec![*via], true);
        }
        Source::Mesh { host, port, via: None } => match host.parse::<IpAddr>() {
            Ok(ip) => return Endpoints::unchanging(source, vec![SocketAddr::new(ip, *port)], true),
            Err(_) => {
                let dns = Dns::one(host, *port, settings);
                (Lookup::Dns(Box::new(dns)), Known::nothing(BELIEVED_OF_DNS, true))
            }
        },
        Source::Dns(name) => {
            let dns = Dns::new(name, settings);
            (Lookup::Dns(Box::new(dns)), Known::nothing(BELIEVED_OF_DNS, false))
        }
        Source::File(path) => {
            let file = File::new(path.clone(), settings.file_interval);
            (Lookup::File(file), Known::nothing(BELIEVED_OF_FILE, false))
        }
    };
    let (snapshot, snapshots) = watch::channel(known.snapshot().clone());
    let (detail, details) = watch::channel(known.details());
    let hint = Arc::new(Notify::new());
    let schedule = Schedule::new(settings);
    let follower = Follower {
        lookup,
        known,
        schedule,
        settings,
        snapshot,
        detail,
        hint: Arc::clone(&hint),
        source: source.to_string(),
        logged: None,
    };
    tokio::spawn(follower.run());
    Endpoints::new(source, snapshots, details, hint, None)
}

/// Whom to ask.
enum Lookup {
    Dns(Box<Dns>),
    File(File),
}

struct Follower {
    lookup: Lookup,
    known: Known,
    schedule: Schedule,
    settings: Settings,
    snapshot: watch::Sender<Snapshot>,
    detail: watch::Sender<Details>,
    hint: Arc<Notify>,
    source: String,
    /// What the last log line said, so that a lasting state is told once.
    logged: Option<(State, Option<Arc<str>>)>,
}

impl Follower {
    /// Runs until nobody holds the endpoints any more.
    async fn run(mut self) {
        loop {
            let finding = tokio::select! {
                finding = self.lookup.look() => finding,
                () = self.snapshot.closed() => return,
            };
            let pause = self.learn(finding);
            let now = Instant::now();
            tokio::select! {
                () = sleep_until(now + pause) => {}
                () = self.hint.notified() => {
                    let soon = now + self.settings.gap;
                    self.detail.send_modify(|details| details.next = Some(soon));
                    sleep_until(soon).await;
                }
                () = self.snapshot.closed() => return,
            }
        }
    }

    fn learn(&mut self, finding: Finding) -> Duration {
        let before = Arc::clone(&self.known.snapshot().addresses);
        let outcome = self.known.learn(finding);
        let pause = match self.lookup {
            Lookup::Dns(_) => self.schedule.after(outcome),
            Lookup::File(_) => self.settings.file_interval,
        };
        self.log(&before);
        let details = Details { next: Some(Instant::now() + pause), ..self.known.details() };
        self.detail.send_replace(details);
        let now = self.known.snapshot();
        self.snapshot.send_if_modified(|known| {
            let differs = known != now;
            if differs {
                known.clone_from(now);
            }
            differs
        });
        pause
    }

    fn log(&mut self, before: &[SocketAddr]) {
        let Snapshot { addresses, state, .. } = self.known.snapshot();
        if **addresses != *before {
            let added: Vec<_> = addresses.iter().filter(|one| !before.contains(one)).collect();
            let removed: Vec<_> = before.iter().filter(|one| !addresses.contains(one)).collect();
            tracing::info!(source = self.source, ?added, ?removed, "endpoints changed");
        }
        let now = (*state, self.known.details().why);
        if self.logged.as_ref() != Some(&now) {
            let (source, state, why) = (&self.source, now.0.as_str(), now.1.as_deref());
            match now.0 {
                State::Fresh => tracing::info!(source, state, "endpoints confirmed"),
                _ => tracing::warn!(source, state, why, "endpoints not confirmed"),
            }
            self.logged = Some(now);
        }
    }
}

impl Lookup {
    async fn look(&mut self) -> Finding {
        match self {
            Self::Dns(dns) => dns.look().await,
            Self::File(file) => file.look().await,
        }
    }
}
