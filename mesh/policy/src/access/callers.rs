//! Which service declares that it calls what.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::Error;

/// The calls that services declare in their `mesh.toml`.
///
/// ```
/// use mesh_policy::Callers;
///
/// let orders = r#"
///     service = "orders"
///     [[calls]]
///     service = "payments"
///     methods = ["CapturePayment"]
///     why = "an order is paid"
/// "#;
/// let callers = Callers::declared([orders])?;
///
/// assert!(callers.may("orders", "payments", "CapturePayment"));
/// assert!(!callers.may("catalog", "payments", "CapturePayment"));
/// # Ok::<(), mesh_policy::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers {
    /// By callee and method.
    calls: HashMap<(String, String), HashSet<String>>,
    /// By callee, those that call whatever it has.
    all: HashMap<String, HashSet<String>>,
}

/// What of a `mesh.toml` matters here.
#[derive(Deserialize)]
struct Declaration {
    service: String,
    #[serde(default)]
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    service: String,
    methods: Methods,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the names of RPCs in brackets, or \"all\"")]
enum Methods {
    All(All),
    Named(Vec<String>),
}

#[derive(Deserialize)]
enum All {
    #[serde(rename = "all")]
    All,
}

impl Callers {
    /// Reads the texts of `mesh.toml` files.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn declared<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let mut callers = Self::default();
        for text in texts {
            let declared: Declaration =
                toml::from_str(text).map_err(|error| Error::Declaration(error.to_string()))?;
            for call in declared.calls {
                let Methods::Named(methods) = call.methods else {
                    let all = callers.all.entry(call.service).or_default();
                    all.insert(declared.service.clone());
                    continue;
                };
                for method in methods {
                    let key = (call.service.clone(), method);
                    callers.calls.entry(key).or_default().insert(declared.service.clone());
                }
            }
        }
        Ok(callers)
    }

    /// Whether `caller` declares that it calls this method of the service `callee`.
    pub fn may(&self, caller: &str, callee: &str, method: &str) -> bool {
        self.of(callee, method).is_some_and(|callers| callers.contains(caller))
    }

    /// Who declares to call this method of the service `callee`; nobody if nobody does.
    pub fn of(&self, callee: &str, method: &str) -> Option<HashSet<String>> {
        let named = self.calls.get(&(callee.to_owned(), method.to_owned()));
        let all = self.all.get(callee);
        let callers: HashSet<String> = named.into_iter().chain(all).flatten().cloned().collect();
        (!callers.is_empty()).then_some(callers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_that_cannot_be_read_is_refused() {
        let error = Callers::declared(["service = 1"]).unwrap_err();

        assert!(matches!(error, Error::Declaration(_)), "{error}");
    }

    #[test]
    fn who_calls_everything_may_call_each() {
        let calls = |name: &str, methods: &str| {
            let head = format!("service = \"{name}\"\n[[calls]]\nservice = \"orders\"");
            format!("{head}\nmethods = {methods}\n")
        };
        let texts = [calls("pages", "\"all\""), calls("mail", "[\"GetOrder\"]")];
        let callers = Callers::declared(texts.iter().map(String::as_str)).unwrap();

        assert!(callers.may("pages", "orders", "GetOrder"));
        assert!(callers.may("pages", "orders", "PlaceOrder"));
        assert!(!callers.may("pages", "catalog", "GetProduct"));
        assert!(callers.may("mail", "orders", "GetOrder"));
        assert!(!callers.may("mail", "orders", "PlaceOrder"));
        assert_eq!(callers.of("orders", "GetOrder").unwrap().len(), 2);
        let error = Callers::declared([&*calls("pages", "\"most\"")]).unwrap_err().to_string();
        assert!(error.contains("or \"all\""), "{error}");
    }

    #[test]
    fn who_declares_nothing_calls_nobody() {
        let callers = Callers::declared(["service = \"catalog\""]).unwrap();

        assert_eq!(callers, Callers::default());
        assert!(callers.of("orders", "GetOrder").is_none());
    }
}
