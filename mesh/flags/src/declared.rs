//! The flags that services declare.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A declaration that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the flags of a mesh.toml cannot be read: {0}")]
pub struct Malformed(String);

/// What of a `mesh.toml` matters here.
#[derive(Deserialize)]
struct Declaration {
    service: String,
    #[serde(default)]
    flags: Vec<Declared>,
}

#[derive(Deserialize)]
struct Declared {
    name: String,
    default: bool,
}

/// The flags of `service` and what is declared to hold, from the texts of `mesh.toml` files.
pub(crate) fn of(service: &str, texts: &[&str]) -> Result<BTreeMap<String, bool>, Malformed> {
    let mut flags = BTreeMap::new();
    for text in texts {
        let declared: Declaration =
            toml::from_str(text).map_err(|error| Malformed(error.to_string()))?;
        if declared.service == service {
            flags.extend(declared.flags.into_iter().map(|flag| (flag.name, flag.default)));
        }
    }
    Ok(flags)
}
