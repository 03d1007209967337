//! Recordings, held against contracts.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor, MethodDescriptor};
use serde::Serialize;

use super::{Call, Fields, Recording, fields::change};
use crate::graph::Graph;

/// What a consumer relies on, and does not find.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Whom it breaks.
    pub consumer: String,
    /// Whose contract it is.
    pub provider: String,
    /// The RPC as `package.Service/Method`, or the event by its full name.
    pub of: String,
    /// What became of what was relied on.
    pub change: String,
}

/// What comparing has shown.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many recordings were compared.
    pub consumers: usize,
    /// How many RPCs they rely on.
    pub rpcs: usize,
    /// How many fields of requests, answers and events.
    pub fields: usize,
    /// How many reasons to refuse.
    pub reasons: usize,
    /// How many events.
    pub events: usize,
    /// Whether the contracts had comments, which alone name reasons.
    pub reasons_compared: bool,
    /// Whom the contracts would break.
    pub findings: BTreeSet<Finding>,
}

/// Says whose recorded needs, or else declared calls, these contracts do not meet.
pub fn compare(pool: &DescriptorPool, recordings: &[Recording], graph: &Graph) -> Report {
    let mut report = Report {
        consumers: recordings.len(),
        rpcs: 0,
        fields: 0,
        reasons: 0,
        events: 0,
        reasons_compared: pool.files().any(|file| {
            let info = &file.file_descriptor_proto().source_code_info;
            file.package_name().starts_with("shop.") && info.is_some()
        }),
        findings: BTreeSet::new(),
    };
    for Recording { consumer, calls, events, .. } in recordings {
        for (path, call) in calls {
            report.rpcs += 1;
            report.call(pool, consumer, path, call);
        }
        for (event, fields) in events {
            report.events += 1;
            match pool.get_message_by_name(event) {
                Some(message) => report.fields(consumer, event, "", &message, fields),
                None => report.find(consumer, event, NO_EVENT.to_owned()),
            }
        }
    }
    report.declared(pool, graph);
    report
}

impl Report {
    fn call(&mut self, pool: &DescriptorPool, consumer: &str, path: &str, call: &Call) {
        let Some(method) = method(pool, path) else {
            self.find(consumer, path, GONE.to_owned());
            return;
        };
        self.fields(consumer, path, "request: ", &method.input(), &call.sends);
        self.fields(consumer, path, "answer: ", &method.output(), &call.reads);
        self.reasons += call.reasons.len();
        if !self.reasons_compared {
            return;
        }
        let named = comments(&method);
        for (reason, metadata) in &call.reasons {
            for name in [reason].into_iter().chain(metadata) {
                if !is_named(&named, name) {
                    self.find(
                        consumer,
                        path,
                        format!("{name} is no reason that its comment names"),
                    );
                }
            }
        }
    }

    fn fields(
        &mut self,
        consumer: &str,
        of: &str,
        part: &str,
        message: &MessageDescriptor,
        fields: &Fields,
    ) {
        self.fields += fields.len();
        for (path, was) in fields {
            if let Some(change) = change(message, path, was) {
                self.find(consumer, of, format!("{part}{change}"));
            }
        }
    }

    /// Who lets others through, as the gateway does, relies on what it declares.
    fn declared(&mut self, pool: &DescriptorPool, graph: &Graph) {
        for edge in &graph.calls {
            for path in edge.names.iter().filter(|path| method(pool, path).is_none()) {
                self.find(&edge.from, path, GONE.to_owned());
            }
        }
        for edge in &graph.events {
            for event in edge.names.iter().filter(|it| pool.get_message_by_name(it).is_none()) {
                self.find(&edge.to, event, NO_EVENT.to_owned());
            }
        }
    }

    fn find(&mut self, consumer: &str, of: &str, change: String) {
        let provider = of.split('.').nth(1).unwrap_or_default().to_owned();
        let (consumer, of) = (consumer.to_owned(), of.to_owned());
        self.findings.insert(Finding { consumer, provider, of, change });
    }
}

const GONE: &str = "the RPC is gone";
const NO_EVENT: &str = "the event is gone";

fn method(pool: &DescriptorPool, path: &str) -> Option<MethodDescriptor> {
    let (service, name) = path.split_once('/')?;
    pool.get_service_by_name(service)?.methods().find(|method| method.name() == name)
}

/// What stands above an RPC and above its service.
fn comments(method: &MethodDescriptor) -> String {
    let (file, service) = (method.parent_file(), method.parent_service());
    format!("{}\n{}", comment(&file, method.path()), comment(&file, service.path()))
}

fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let proto = file.file_descriptor_proto();
    let mut locations = proto.source_code_info.iter().flat_map(|info| &info.location);
    let found = locations.find(|location| location.path == path);
    found.map(|location| location.leading_comments().to_owned()).unwrap_or_default()
}

fn is_named(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
}
