//! Who may do what at the broker: a user for each service, with what its declaration implies, and one
//! for the operator. Which subjects the client library sends for what is written down here, once.

use std::fmt::Write as _;

use crate::{Access, Declaration};

/// A user of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUser {
    name: String,
    /// None: it may do everything.
    rules: Option<Rules>,
}

/// The subjects that a user may use. Others are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    publish: Vec<String>,
    subscribe: Vec<String>,
}

/// What the operator asks of JetStream: it makes streams, and reads all. Flags apart, which are the
/// operator's own, it can neither publish what a service would, nor acknowledge in its place, nor take single messages out of a stream.
const OPERATOR: [&str; 14] = [
    "INFO",
    "STREAM.NAMES",
    "STREAM.LIST",
    "STREAM.INFO.*",
    "STREAM.CREATE.*",
    "STREAM.UPDATE.*",
    "STREAM.DELETE.*",
    "STREAM.MSG.GET.*",
    "DIRECT.GET.>",
    "CONSUMER.LIST.*",
    "CONSUMER.CREATE.>",
    "CONSUMER.INFO.>",
    "CONSUMER.DELETE.>",
    "CONSUMER.MSG.NEXT.>",
];

/// The users of these services, and `operator`. A service that needs no broker has none.
pub fn broker_users(declarations: &[Declaration], operator: &str) -> Vec<BrokerUser> {
    let services = declarations.iter().filter(|it| it.uses_broker());
    services.map(BrokerUser::service).chain([BrokerUser::operator(operator)]).collect()
}

/// Where answers to the user `name` go: nobody else hears them.
pub fn inbox_prefix(name: &str) -> String {
    format!("_INBOX.{name}")
}

impl BrokerUser {
    /// One that may do everything: for tests.
    pub fn everything(name: &str) -> BrokerUser {
        BrokerUser { name: name.to_owned(), rules: None }
    }

    /// The operator: makes streams, reads all, and says which flags are on.
    pub fn operator(name: &str) -> BrokerUser {
        let mut rules = Rules::of(name);
        for request in OPERATOR {
            rules.request(request);
        }
        rules.publish.push(format!("$KV.{}.>", mesh_flags::BUCKET));
        BrokerUser { name: name.to_owned(), rules: Some(rules) }
    }

    fn service(declaration: &Declaration) -> BrokerUser {
        let service = &declaration.service;
        let mut rules = Rules::of(service);
        if !declaration.publishes.is_empty() {
            rules.relay(service, declaration.subjects());
        }
        for source in &declaration.subscribes {
            if source.live {
                rules.listener(service, &source.subjects);
            } else {
                rules.consumer(&source.stream, service);
            }
        }
        for bucket in &declaration.buckets {
            rules.bucket(&bucket.name, bucket.access);
        }
        rules.publish.sort();
        rules.publish.dedup();
        rules.subscribe.sort();
        rules.subscribe.dedup();
        BrokerUser { name: service.clone(), rules: Some(rules) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As nats-server's configuration says it. `password` is a text in quotes, or a `$VARIABLE`.
    pub fn configuration(&self, password: &str) -> String {
        let name = &self.name;
        let mut text = format!("  {{\n    user: \"{name}\", password: {password}\n");
        if let Some(rules) = &self.rules {
            text += "    permissions: {\n";
            list(&mut text, "publish", &rules.publish);
            list(&mut text, "subscribe", &rules.subscribe);
            text += "    }\n";
        }
        text + "  }\n"
    }
}

impl Rules {
    fn of(user: &str) -> Rules {
        Rules { publish: Vec::new(), subscribe: vec![format!("{}.>", inbox_prefix(user))] }
    }

    fn request(&mut self, request: &str) {
        self.publish.push(format!("$JS.API.{request}"));
    }

    /// What the relay does: publishes to its own stream, reads where that ends, and tells the other
    /// replicas that the log has grown.
    fn relay(&mut self, service: &str, subjects: Vec<String>) {
        self.publish.extend(subjects);
        self.request(&format!("STREAM.INFO.{service}"));
        self.request(&format!("STREAM.MSG.GET.{service}"));
        self.hints(service);
    }

    /// What a listener does: hears events as they are published, and tells the other replicas what
    /// they have to hear, too.
    fn listener(&mut self, service: &str, subjects: &[String]) {
        self.subscribe.extend_from_slice(subjects);
        self.hints(service);
    }

    /// What replicas tell each other.
    fn hints(&mut self, service: &str) {
        let hint = format!("mesh.hint.{service}");
        self.publish.push(hint.clone());
        self.subscribe.push(hint);
    }

    /// What a consumer does: makes its own durable, asks about it, takes it away when it is ahead of
    /// its stream, pulls and acknowledges.
    fn consumer(&mut self, stream: &str, durable: &str) {
        self.request(&format!("STREAM.INFO.{stream}"));
        for verb in ["CREATE", "INFO", "DELETE", "MSG.NEXT"] {
            self.request(&format!("CONSUMER.{verb}.{stream}.{durable}"));
        }
        self.publish.push(format!("$JS.ACK.{stream}.{durable}.>"));
    }

    /// What is done with a bucket: read by key, watch by consumers that live as long as the watch,
    /// and put.
    fn bucket(&mut self, name: &str, access: Access) {
        let stream = format!("KV_{name}");
        self.request(&format!("STREAM.INFO.{stream}"));
        self.request(&format!("STREAM.MSG.GET.{stream}"));
        self.request(&format!("DIRECT.GET.{stream}.>"));
        // Without a name: the server gives it one.
        self.request(&format!("CONSUMER.CREATE.{stream}"));
        for verb in ["CREATE", "INFO", "DELETE"] {
            self.request(&format!("CONSUMER.{verb}.{stream}.>"));
        }
        self.publish.push(format!("$JS.FC.{stream}.>"));
        if access == Access::Write {
            self.publish.push(format!("$KV.{name}.>"));
        }
    }
}

/// An empty list of what is allowed would allow everything.
fn list(text: &mut String, verb: &str, subjects: &[String]) {
    if subjects.is_empty() {
        let _ = writeln!(text, "      {verb}: {{ deny: [\">\"] }}");
        return;
    }
    let _ = writeln!(text, "      {verb}: {{\n        allow: [");
    for subject in subjects {
        let _ = writeln!(text, "          \"{subject}\"");
    }
    let _ = writeln!(text, "        ]\n      }}");
}

#[cfg(test)]
mod tests {
    use super::{BrokerUser, Rules, broker_users};
    use crate::Declaration;

    fn users(text: &str) -> Vec<BrokerUser> {
        broker_users(&[Declaration::parse(text).unwrap()], "operator")
    }

    #[test]
    fn who_declares_nothing_has_no_user() {
        let names = |text| users(text).iter().map(|it| it.name().to_owned()).collect::<Vec<_>>();

        assert_eq!(names("service = \"quiet\""), ["operator"]);
        let reader =
            "service = \"reader\"\n[[buckets]]\nname = \"flags\"\naccess = \"read\"\nwhy = \"\"";
        assert_eq!(names(reader), ["reader", "operator"]);
    }

    #[test]
    fn a_list_without_subjects_allows_nothing() {
        let user = BrokerUser { name: "mute".to_owned(), rules: Some(Rules::default()) };

        let text = user.configuration("\"secret\"");

        assert!(text.contains("publish: { deny: [\">\"] }"), "{text}");
        assert!(text.contains("subscribe: { deny: [\">\"] }"), "{text}");
        assert!(!BrokerUser::everything("root").configuration("$X").contains("permissions"));
    }
}
