//! The bucket, followed: what operators say is heard by every replica.

use std::{collections::BTreeMap, time::Duration};

use async_nats::{
    Client,
    connection::State,
    jetstream::{
        self,
        kv::{Entry, Operation},
    },
};
use futures::{FutureExt as _, StreamExt as _};
use mesh_runtime::{Condition, Service, metrics::meter};
use opentelemetry::KeyValue;
use tokio::time::{interval, sleep};

use crate::{BUCKET, Change, Flags, Rule};

/// How often it is looked whether the broker is still there.
const LOOK: Duration = Duration::from_millis(250);
/// Every how many looks it is asked whether the bucket is still the same.
const ASK: u32 = 20;
/// How long to wait before a bucket that cannot be watched is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// What was said of flags, by their full names, and by whom.
type Said = BTreeMap<String, (Option<Rule>, String)>;

impl Flags {
    /// Follows the bucket as long as `service` runs, and shows what holds at `/flags` of its admin
    /// port.
    pub fn follow(&self, service: &Service, client: &Client, jetstream: &jetstream::Context) {
        self.show(service);
        let report = Report { flags: self.clone(), condition: service.health().condition("flags") };
        report.lost("not read yet", "flags are as declared");
        let age = meter()
            .f64_gauge("mesh.flags.age")
            .with_unit("s")
            .with_description("For how long it has not been known what is said of flags")
            .build();
        let (label, flags) = ([KeyValue::new("service", service.name())], self.clone());
        let (client, jetstream) = (client.clone(), jetstream.clone());
        let stopped = service.stopped();
        let follow = async move {
            loop {
                let why = watch(&client, &jetstream, &report).await;
                report.lost(why, "what was heard last holds, else what is declared");
                sleep(PAUSE).await;
            }
        };
        let measure = async move {
            let mut look = interval(LOOK);
            loop {
                look.tick().await;
                age.record(flags.age().as_secs_f64(), &label);
            }
        };
        let follow = stopped.clone().run_until_cancelled_owned(follow);
        service.spawn("flags", follow.map(|_: Option<()>| ()));
        let measure = stopped.run_until_cancelled_owned(measure);
        service.spawn("flags gauge", measure.map(|_: Option<()>| ()));
    }
}

/// Who hears whether it is known what holds.
struct Report {
    flags: Flags,
    condition: Condition,
}

impl Report {
    fn known(&self, said: Said) {
        self.flags.take_all(said);
        self.flags.set_lost(false);
        self.condition.ready();
    }

    fn lost(&self, why: &str, rule: &str) {
        self.flags.set_lost(true);
        self.condition.degraded(format!("{why}: {rule}"));
    }
}

/// Watches the bucket until it cannot. Returns why.
async fn watch(client: &Client, jetstream: &jetstream::Context, report: &Report) -> &'static str {
    let Ok(bucket) = jetstream.get_key_value(BUCKET).await else { return "there is no bucket" };
    let info = bucket.stream.cached_info();
    let (made, is_empty) = (info.created, info.state.messages == 0);
    let Ok(mut entries) = bucket.watch_with_history(">").await else {
        return "the bucket cannot be watched";
    };
    // What was there at the beginning takes effect at once, so that nothing in between does.
    let mut unread = Some(Said::new());
    if is_empty {
        report.known(unread.take().unwrap_or_default());
    }
    let mut look = interval(LOOK);
    let mut looks = 0_u32;
    loop {
        tokio::select! {
            entry = entries.next() => {
                let Some(Ok(entry)) = entry else { return "the bucket is watched no more" };
                let said = read(&report.flags, &entry);
                match (&mut unread, said) {
                    (Some(all), Some(said)) => _ = all.insert(entry.key, said),
                    (None, Some((rule, by))) => report.flags.take(&entry.key, rule, &by),
                    (_, None) => {}
                }
                // The last of those that were there.
                if entry.delta == 0 && let Some(all) = unread.take() {
                    report.known(all);
                }
            }
            _ = look.tick() => {
                if client.connection_state() != State::Connected {
                    return "the broker is away";
                }
                looks += 1;
                if looks.is_multiple_of(ASK) {
                    match jetstream.get_key_value(BUCKET).await {
                        Ok(now) if now.stream.cached_info().created == made => {}
                        _ => return "the bucket is another",
                    }
                }
            }
        }
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
