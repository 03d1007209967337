//! Everything that can be tried at the broker of these services, and which of it is right.

use std::collections::BTreeSet;

use mesh_local::{Access, Declaration};

/// What is done with a stream, beyond its consumers.
const STREAM: [&str; 13] = [
    "STREAM.INFO",
    "STREAM.CREATE",
    "STREAM.UPDATE",
    "STREAM.DELETE",
    "STREAM.PURGE",
    "STREAM.MSG.GET",
    "STREAM.MSG.DELETE",
    "STREAM.SNAPSHOT",
    "STREAM.RESTORE",
    "STREAM.LEADER.STEPDOWN",
    "DIRECT.GET",
    "CONSUMER.LIST",
    "CONSUMER.NAMES",
];
/// What is done with one consumer of a stream.
const CONSUMER: [&str; 9] = [
    "CREATE",
    "DURABLE.CREATE",
    "INFO",
    "DELETE",
    "MSG.NEXT",
    "PAUSE",
    "RESET",
    "UNPIN",
    "LEADER.STEPDOWN",
];
/// What is done with no stream in particular.
const ACCOUNT: [&str; 5] =
    ["INFO", "STREAM.NAMES", "STREAM.LIST", "ACCOUNT.PURGE.shop", "META.LEADER.STEPDOWN"];
/// What belongs to nobody.
const ELSEWHERE: [&str; 5] =
    ["$SYS.REQ.SERVER.PING", "$KV.strange.key", "$O.strange.C.x", "shop.v1", "strange"];
/// What hears more than one's own.
const EARS: [&str; 10] = [
    ">",
    "*",
    "*.*.>",
    "shop.>",
    "_INBOX.>",
    "_INBOX.*.>",
    "mesh.hint.*",
    "$JS.>",
    "$JS.EVENT.ADVISORY.>",
    "$SYS.>",
];
/// A consumer that no service declares.
const STRANGER: &str = "stranger";

#[derive(Clone, Copy, Debug)]
pub enum Verb {
    Publish,
    Subscribe,
}

/// One thing to try.
#[derive(Debug)]
pub struct Attempt {
    pub verb: Verb,
    pub subject: String,
    /// Whether it is right that it works.
    pub allowed: bool,
}

impl Attempt {
    pub fn shown(&self) -> String {
        Attempt::shown_as(self.verb, &self.subject)
    }

    pub fn shown_as(verb: Verb, subject: &str) -> String {
        match verb {
            Verb::Publish => format!("publish to {subject}"),
            Verb::Subscribe => format!("subscribe to {subject}"),
        }
    }
}

/// Gathers what there is to try.
#[derive(Default)]
struct Attempts(Vec<Attempt>);

impl Attempts {
    fn publish(&mut self, subject: impl Into<String>, allowed: bool) {
        self.0.push(Attempt { verb: Verb::Publish, subject: subject.into(), allowed });
    }

    fn subscribe(&mut self, subject: impl Into<String>, allowed: bool) {
        self.0.push(Attempt { verb: Verb::Subscribe, subject: subject.into(), allowed });
    }

    /// What every user may hear: answers to itself.
    fn ears(&mut self, me: &str, names: &[&str]) {
        for ear in EARS {
            self.subscribe(ear, false);
        }
        for name in names {
            for rest in [">", "*", "x.y"] {
                self.subscribe(format!("_INBOX.{name}.{rest}"), *name == me);
            }
            self.publish(format!("_INBOX.{name}.x"), false);
        }
        for elsewhere in ELSEWHERE {
            self.publish(elsewhere, false);
            self.subscribe(elsewhere, false);
        }
    }
}

/// What a service can try.
pub fn of_service(me: &Declaration, all: &[Declaration]) -> Vec<Attempt> {
    let mut attempts = Attempts::default();
    let mut names: Vec<&str> = all.iter().map(|it| it.service.as_str()).collect();
    names.extend([meshctl::caller::NAME, STRANGER]);
    attempts.ears(&me.service, &names);
    for request in ACCOUNT {
        attempts.publish(format!("$JS.API.{request}"), false);
    }
    for other in all {
        let (stream, is_mine) = (&other.service, other.service == me.service);
        let published = is_mine && !me.publishes.is_empty();
        let sources = me.subscribes.iter().filter(|it| it.stream == *stream);
        let (live, durable): (Vec<_>, Vec<_>) = sources.partition(|it| it.live);
        let sources: Vec<&String> = durable.into_iter().flat_map(|it| &it.subjects).collect();
        for subject in live.iter().flat_map(|it| &it.subjects) {
            attempts.subscribe(subject.clone(), true);
            attempts.publish(subject.clone(), false);
        }
        let hints = published || is_mine && me.subscribes.iter().any(|it| it.live);
        attempts.publish(format!("shop.{stream}.v1.Happened"), published);
        attempts.subscribe(format!("shop.{stream}.v1.Happened"), false);
        attempts.subscribe(format!("shop.{stream}.>"), false);
        attempts.publish(format!("mesh.hint.{stream}"), hints);
        attempts.subscribe(format!("mesh.hint.{stream}"), hints);
        for verb in STREAM {
            let allowed = match verb {
                "STREAM.INFO" => published || !sources.is_empty(),
                "STREAM.MSG.GET" => published,
                _ => false,
            };
            attempts.publish(format!("$JS.API.{verb}.{stream}"), allowed);
        }
        attempts.publish(format!("$JS.API.DIRECT.GET.{stream}.shop.{stream}.v1.X"), false);
        attempts.publish(format!("$JS.API.CONSUMER.CREATE.{stream}"), false);
        attempts.publish(format!("$JS.FC.{stream}.x.y"), false);
        for durable in &names {
            let declared = *durable == me.service && !sources.is_empty();
            for verb in CONSUMER {
                let allowed = declared && matches!(verb, "CREATE" | "INFO" | "DELETE" | "MSG.NEXT");
                attempts.publish(format!("$JS.API.CONSUMER.{verb}.{stream}.{durable}"), allowed);
            }
            let filtered = format!("$JS.API.CONSUMER.CREATE.{stream}.{durable}.shop.x");
            attempts.publish(filtered, false);
            attempts.publish(format!("$JS.ACK.{stream}.{durable}.1.1.1.1.0"), declared);
        }
    }
    let buckets: BTreeSet<&str> =
        all.iter().flat_map(|it| &it.buckets).map(|it| it.name.as_str()).collect();
    for bucket in buckets {
        let mine = || me.buckets.iter().filter(|it| it.name == bucket);
        let (uses, writes) = (mine().next().is_some(), mine().any(|it| it.access == Access::Write));
        attempts.publish(format!("$KV.{bucket}.key"), writes);
        for verb in ["STREAM.INFO", "STREAM.MSG.GET", "CONSUMER.CREATE"] {
            attempts.publish(format!("$JS.API.{verb}.KV_{bucket}"), uses);
        }
        for verb in ["STREAM.CREATE", "STREAM.UPDATE", "STREAM.PURGE", "STREAM.DELETE"] {
            attempts.publish(format!("$JS.API.{verb}.KV_{bucket}"), false);
        }
    }
    attempts.0
}

/// What the operator can try that changes nothing if it works.
pub fn of_operator(all: &[Declaration]) -> Vec<Attempt> {
    let mut attempts = Attempts::default();
    let me = meshctl::caller::NAME;
    let mut names: Vec<&str> = all.iter().map(|it| it.service.as_str()).collect();
    names.push(me);
    attempts.ears(me, &names);
    for request in ACCOUNT {
        let allowed = matches!(request, "INFO" | "STREAM.NAMES" | "STREAM.LIST");
        attempts.publish(format!("$JS.API.{request}"), allowed);
    }
    for bucket in all.iter().flat_map(|it| &it.buckets) {
        let is_own = bucket.name == mesh_flags::BUCKET;
        attempts.publish(format!("$KV.{}.key", bucket.name), is_own);
    }
    for stream in all.iter().map(|it| &it.service) {
        attempts.publish(format!("shop.{stream}.v1.Happened"), false);
        attempts.publish(format!("mesh.hint.{stream}"), false);
        attempts.subscribe(format!("mesh.hint.{stream}"), false);
        for verb in ["INFO", "CREATE", "UPDATE", "MSG.GET"] {
            attempts.publish(format!("$JS.API.STREAM.{verb}.{stream}"), true);
        }
        for verb in ["PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN"] {
            attempts.publish(format!("$JS.API.STREAM.{verb}.{stream}"), false);
        }
        for durable in &names {
            attempts.publish(format!("$JS.API.CONSUMER.INFO.{stream}.{durable}"), true);
            attempts.publish(format!("$JS.API.CONSUMER.PAUSE.{stream}.{durable}"), false);
            attempts.publish(format!("$JS.ACK.{stream}.{durable}.1.1.1.1.0"), false);
        }
    }
    attempts.0
}
