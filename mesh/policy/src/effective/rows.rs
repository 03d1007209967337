//! What holds, for people and programs to read.

use serde_json::{Map, Value, json};

use super::{Effective, Entry, Row, Source};
use crate::{Method, overlay::Fields};

impl Effective {
    /// Every value of `package.Service/Method`: first what its contract says, then what may be
    /// turned.
    pub fn method_rows(&self, path: &str) -> Option<Vec<Row>> {
        let contract = self.contracts.method(path)?;
        let mut calls = self.calls.get(path)?.clone();
        let sources = calls.clone();
        let mut rows = facts(contract);
        calls.fields(contract, true).each(&mut |key, slot| {
            let source = sources.source(contract, key);
            rows.push(Row { key: key.to_owned(), value: slot.value(), source });
        });
        if contract.retry_codes.is_empty() {
            let source = Source::Contract;
            rows.push(Row { key: "retry.attempts".to_owned(), value: json!(1), source });
        }
        Some(rows)
    }

    /// Every value for calls to the service that discovery knows as `name`; `*` is those of which
    /// nothing is said.
    pub fn target_rows(&self, name: &str) -> Vec<Row> {
        rows(self.targets.get(name).unwrap_or(&self.any_target))
    }

    /// Every value of this process's server.
    pub fn server_rows(&self) -> Vec<Row> {
        rows(&self.server)
    }

    /// Every value of `package.Service`.
    pub fn service_rows(&self, name: &str) -> Option<Vec<Row>> {
        let service = self.contracts.service(name)?;
        let owner = json!(service.owner);
        let mut rows =
            vec![Row { key: "owner".to_owned(), value: owner, source: Source::Contract }];
        if let Some(entry) = self.services.get(name) {
            let source = entry.source("concurrency", Source::Contract);
            rows.push(Row { key: "concurrency".to_owned(), value: json!(entry.value), source });
        }
        Some(rows)
    }

    /// Everything: `methods`, `services`, `targets` and `server`, each value as
    /// `{"value": …, "source": "contract" | "default" | "file"}`, a file's with its `table`.
    pub fn to_json(&self) -> Value {
        let methods = self.contracts.methods().filter_map(|method| {
            Some((method.path.to_string(), object(self.method_rows(&method.path)?)))
        });
        let services = self.contracts.services().filter_map(|service| {
            Some((service.name.to_string(), object(self.service_rows(&service.name)?)))
        });
        let named = self.targets.keys().map(String::as_str);
        let targets =
            named.chain(["*"]).map(|name| (name.to_owned(), object(self.target_rows(name))));
        json!({
            "methods": methods.collect::<Map<_, _>>(),
            "services": services.collect::<Map<_, _>>(),
            "targets": targets.collect::<Map<_, _>>(),
            "server": object(self.server_rows()),
        })
    }
}

impl Source {
    /// `contract`, `default` or `file`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Default => "default",
            Self::File(_) => "file",
        }
    }
}

fn facts(contract: &Method) -> Vec<Row> {
    let fact =
        |key: &str, value: Value| Row { key: key.to_owned(), value, source: Source::Contract };
    vec![
        fact("idempotency", json!(contract.idempotency.as_str())),
        fact("request_id", json!(contract.request_id.as_str())),
        fact("retry_codes", json!(contract.retry_codes.to_string())),
        fact("hedging", json!(contract.hedging)),
        fact("criticality", json!(contract.criticality.as_str())),
        fact("access", json!(contract.access.to_string())),
    ]
}

fn rows<T: Fields + Clone>(entry: &Entry<T>) -> Vec<Row> {
    let mut rows = Vec::new();
    entry.value.clone().each(&mut |key, slot| {
        let source = entry.source(key, Source::Default);
        rows.push(Row { key: key.to_owned(), value: slot.value(), source });
    });
    rows
}

fn object(rows: Vec<Row>) -> Value {
    let rows = rows.into_iter().map(|Row { key, value, source }| {
        let mut shown = json!({ "value": value, "source": source.as_str() });
        if let Source::File(table) = source {
            shown["table"] = json!(&*table);
        }
        (key, shown)
    });
    rows.collect::<Map<_, _>>().into()
}
