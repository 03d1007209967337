//! The policy of calls, as running services tell it at their admin ports, or as the contracts say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use mesh_local::http;
use mesh_policy::{Effective, Table, nearest};
use serde_json::{Map, Value, json};

/// Every value of the policy, by who told it; everything is as `/policy` shows it.
#[derive(Debug)]
pub struct Policy {
    /// What each process says, by its service and number; nobody if nothing runs.
    pub told: BTreeMap<String, Value>,
    /// What holds where nothing else is said.
    pub contracts: Value,
}

/// One value, as the first process has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it is called.
    pub key: String,
    /// The value, for people.
    pub value: String,
    /// `contract`, `default`, or the file's table that says it.
    pub source: String,
    /// Who has another value, and which.
    pub elsewhere: Vec<(String, String)>,
}

impl Policy {
    /// What the contracts say, for when nothing runs.
    pub fn of_contracts() -> Result<Policy> {
        let table = Table::from_descriptors(&[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS]);
        let table = table.context("the contracts' options")?;
        let contracts = Effective::of_contracts(Arc::new(table)).to_json();
        Ok(Policy { told: BTreeMap::new(), contracts })
    }

    /// Asks every process at its admin port; one that does not answer is passed over.
    pub async fn ask(processes: impl IntoIterator<Item = (String, SocketAddr)>) -> Result<Policy> {
        let mut policy = Policy::of_contracts()?;
        for (name, admin) in processes {
            if let Ok((200, body)) = http::request(admin, "GET", "/policy").await {
                let table = serde_json::from_str(&body);
                let table = table.with_context(|| format!("{name} does not tell its policy"))?;
                policy.told.insert(name, table);
            }
        }
        Ok(policy)
    }

    /// The full name of the RPC that somebody means by `name`: `package.Service/Method`, or the
    /// end of it.
    pub fn method(&self, name: &str) -> Result<String> {
        let wanted = name.to_ascii_lowercase();
        let is_it = |path: &&str| {
            let path = path.to_ascii_lowercase();
            let ends = |path: &str| {
                path.strip_suffix(&*wanted)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '/']))
            };
            ends(&path) || ends(&path.replace('/', "."))
        };
        let methods = self.methods();
        match methods.iter().copied().filter(is_it).collect::<Vec<_>>()[..] {
            [path] => Ok(path.to_owned()),
            [] => {
                let near = nearest(name, methods.iter().copied());
                let hint = match near.is_empty() {
                    true => "without a name all of them are listed".to_owned(),
                    false => format!("did you mean {}?", near.join(" or ")),
                };
                bail!("there is no RPC `{name}`: {hint}")
            }
            ref several => bail!("`{name}` may be {}", several.join(" or ")),
        }
    }

    /// The full names of all RPCs, in order.
    pub fn methods(&self) -> Vec<&str> {
        let methods = self.contracts["methods"].as_object();
        methods.into_iter().flat_map(Map::keys).map(String::as_str).collect()
    }

    /// Every value of one part, such as `["methods", "package.Service/Method"]`, and who has
    /// another.
    pub fn values(&self, part: &[&str]) -> Vec<Shown> {
        let first = self.told.values().next().unwrap_or(&self.contracts);
        let values = find(first, part).and_then(Value::as_object);
        let values = values.into_iter().flatten();
        values
            .map(|(key, value)| Shown {
                key: key.clone(),
                value: plain(&value["value"]),
                source: source(value),
                elsewhere: self.elsewhere(part, key, &value["value"]),
            })
            .collect()
    }

    /// Every value that a file gives to anything, by `part key`; of the first process.
    pub fn turned(&self) -> Vec<Shown> {
        let first = self.told.values().next().unwrap_or(&self.contracts);
        let mut parts = vec![vec!["server"]];
        for table in ["methods", "services", "targets"] {
            let names = first[table].as_object().into_iter().flat_map(Map::keys);
            parts.extend(names.map(|name| vec![table, name]));
        }
        let of_files = parts.iter().flat_map(|part| {
            let values = self.values(part).into_iter();
            let name = part.join(" ");
            values
                .filter(|shown| !matches!(&*shown.source, "contract" | "default"))
                .map(move |shown| Shown { key: format!("{name} {}", shown.key), ..shown })
        });
        of_files.collect()
    }

    /// What became of the file in each process.
    pub fn files(&self) -> BTreeMap<&str, &Value> {
        self.told.iter().map(|(name, table)| (&**name, &table["file"])).collect()
    }

    /// Everything, or one RPC, for programs.
    pub fn to_json(&self, method: Option<&str>) -> Value {
        let from = if self.told.is_empty() { "contracts" } else { "running" };
        let Some(method) = method else {
            return json!({ "from": from, "contracts": self.contracts, "told": self.told });
        };
        let of = |table: &Value| table["methods"][method].clone();
        let first = self.told.values().next().unwrap_or(&self.contracts);
        let others = self.told.iter().filter(|(_, table)| of(table) != of(first));
        json!({
            "from": from,
            "method": method,
            "values": of(first),
            "elsewhere": others.map(|(name, table)| (name.clone(), of(table))).collect::<Map<_, _>>(),
            "files": self.files(),
        })
    }

    fn elsewhere(&self, part: &[&str], key: &str, value: &Value) -> Vec<(String, String)> {
        let others = self.told.iter().skip(1).filter_map(|(name, table)| {
            let other = find(table, part).map(|part| &part[key]["value"])?;
            (other != value).then(|| (name.clone(), plain(other)))
        });
        others.collect()
    }
}

fn find<'a>(table: &'a Value, part: &[&str]) -> Option<&'a Value> {
    part.iter().try_fold(table, |table, name| table.get(name))
}

fn source(value: &Value) -> String {
    value["table"].as_str().or_else(|| value["source"].as_str()).unwrap_or_default().to_owned()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "shop.catalog.v1.CatalogService/GetProduct";

    /// Two processes, of which the second has a file.
    fn two() -> Policy {
        let mut policy = Policy::of_contracts().unwrap();
        let mut turned = policy.contracts.clone();
        turned["methods"][GET]["deadline"] =
            json!({ "value": "1s", "source": "file", "table": "methods.\"*\"" });
        turned["file"] = json!({ "state": "applied" });
        policy.told.insert("catalog 0".to_owned(), turned);
        policy.told.insert("orders 0".to_owned(), policy.contracts.clone());
        policy
    }

    #[test]
    fn a_method_may_be_named_by_its_end() {
        let policy = Policy::of_contracts().unwrap();

        for name in [GET, "CatalogService/GetProduct", "CatalogService.GetProduct", "getproduct"] {
            assert_eq!(policy.method(name).unwrap(), GET, "{name}");
        }
    }

    #[test]
    fn an_unknown_method_is_answered_with_the_nearest() {
        let policy = Policy::of_contracts().unwrap();

        let error = policy.method("GetProdukt").unwrap_err().to_string();

        assert!(error.contains(&format!("did you mean {GET}")), "{error}");
        let error = policy.method("qqqqqqqqqqqqqqqq").unwrap_err().to_string();
        assert!(error.contains("all of them are listed"), "{error}");
        assert!(policy.method("Product").is_err(), "a part of a word is no name");
    }

    #[test]
    fn every_value_says_where_it_comes_from_and_who_has_another() {
        let policy = two();

        let values = policy.values(&["methods", GET]);

        let deadline = values.iter().find(|shown| shown.key == "deadline").unwrap();
        assert_eq!((&*deadline.value, &*deadline.source), ("1s", "methods.\"*\""));
        assert_eq!(deadline.elsewhere, [("orders 0".to_owned(), "2s".to_owned())]);
        let sources = |key: &str| values.iter().find(|it| it.key == key).unwrap().source.clone();
        assert_eq!(sources("max_deadline"), "contract");
        assert_eq!(sources("retry.multiplier"), "default");
    }

    #[test]
    fn what_a_file_turns_is_listed_apart() {
        let turned = two().turned();

        assert_eq!(turned.len(), 1);
        assert_eq!(turned[0].key, format!("methods {GET} deadline"));
    }

    #[test]
    fn programs_are_told_the_same() {
        let json = two().to_json(Some(GET));

        assert_eq!(json["from"], "running");
        assert_eq!(json["values"]["deadline"]["value"], "1s");
        assert_eq!(json["elsewhere"]["orders 0"]["deadline"]["value"], "2s");
        assert_eq!(json["files"]["catalog 0"]["state"], "applied");
        assert_eq!(Policy::of_contracts().unwrap().to_json(None)["from"], "contracts");
    }
}
