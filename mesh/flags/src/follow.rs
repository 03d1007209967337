//! The bucket, followed: what operators say is heard by every replica.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use async_nats::{
    Client,
    jetstream::{
        self,
        kv::{Entry, Operation},
    },
};
use futures::FutureExt as _;
use mesh_buckets::Listener;
use mesh_runtime::{Condition, Service, metrics::meter};
use opentelemetry::KeyValue;
use tokio::time::interval;

use crate::{BUCKET, Change, Flags, Rule};

/// How often it is measured since when nothing was heard.
const LOOK: Duration = Duration::from_millis(250);

/// What was said of flags, by their full names, and by whom.
type Said = BTreeMap<String, (Option<Rule>, String)>;

impl Flags {
    /// Follows the bucket as long as `service` runs, and shows what holds at `/flags` of its admin
    /// port.
    pub fn follow(&self, service: &Service, client: &Client, jetstream: &jetstream::Context) {
        self.show(service);
        let mut report = Report {
            flags: self.clone(),
            condition: service.health().condition("flags"),
            unread: None,
        };
        // At once: the task that follows may begin later.
        report.lost("not read yet");
        let age = meter()
            .f64_gauge("mesh.flags.age")
            .with_unit("s")
            .with_description("For how long it has not been known what is said of flags")
            .build();
        let (label, flags) = ([KeyValue::new("service", service.name())], self.clone());
        let (client, jetstream) = (client.clone(), jetstream.clone());
        let stopped = service.stopped();
        let follow =
            async move { mesh_buckets::follow(&client, &jetstream, BUCKET, &mut report).await };
        let measure = async move {
            let mut look = interval(LOOK);
            loop {
                look.tick().await;
                age.record(flags.age().as_secs_f64(), &label);
            }
        };
        let follow = stopped.clone().run_until_cancelled_owned(follow);
        service.spawn("flags", follow.map(|_: Option<Infallible>| ()));
        let measure = stopped.run_until_cancelled_owned(measure);
        service.spawn("flags gauge", measure.map(|_: Option<()>| ()));
    }
}

/// Who hears what is said, and whether it is known.
struct Report {
    flags: Flags,
    condition: Condition,
    /// What was there at the beginning takes effect at once, so that nothing in between does.
    unread: Option<Said>,
}

impl Listener for Report {
    fn begin(&mut self) {
        self.unread = Some(Said::new());
    }

    fn entry(&mut self, entry: &Entry) {
        match (&mut self.unread, read(&self.flags, entry)) {
            (Some(all), Some(said)) => _ = all.insert(entry.key.clone(), said),
            (None, Some((rule, by))) => self.flags.take(&entry.key, rule, &by),
            (_, None) => {}
        }
    }

    fn known(&mut self) {
        self.flags.take_all(self.unread.take().unwrap_or_default());
        self.flags.set_lost(false);
        self.condition.ready();
    }

    fn lost(&mut self, why: &'static str) {
        self.flags.set_lost(true);
        self.condition.degraded(format!("{why}: what was heard last holds, else what is declared"));
    }
}

/// What an entry says; nothing if it is of no flag of this service. What cannot be read was not
/// written by a [`Board`](crate::Board), and what held goes on to hold.
fn read(flags: &Flags, entry: &Entry) -> Option<(Option<Rule>, String)> {
    let flag = flags.of(&entry.key)?;
    if entry.operation != Operation::Put {
        return Some((None, "who deleted it".to_owned()));
    }
    match Change::read(&entry.value) {
        Ok(change) => Some((change.rule, change.by)),
        Err(why) => {
            let rule = flag.rule();
            tracing::warn!(
                flag = flag.name(),
                why,
                "flag not understood: what held goes on to hold"
            );
            Some((rule, "nobody".to_owned()))
        }
    }
}
