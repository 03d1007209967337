//! Which RPCs of a service another calls.

use std::fmt;

use serde::Deserialize;

/// Those that are named, or whatever there is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub enum Methods {
    /// Every RPC of the service, also one that it will have.
    All,
    /// These.
    Named(Vec<String>),
}

/// As it is written.
#[derive(Deserialize)]
#[serde(untagged, expecting = "the names of RPCs in brackets, or \"all\"")]
enum Written {
    All(All),
    Named(Vec<String>),
}

#[derive(Deserialize)]
enum All {
    #[serde(rename = "all")]
    All,
}

impl From<Written> for Methods {
    fn from(written: Written) -> Methods {
        match written {
            Written::All(All::All) => Methods::All,
            Written::Named(names) => Methods::Named(names),
        }
    }
}

impl Methods {
    /// Whether an RPC of this name is one of them.
    pub fn include(&self, name: &str) -> bool {
        match self {
            Methods::All => true,
            Methods::Named(names) => names.iter().any(|it| it == name),
        }
    }

    /// Those that are named; none of all.
    pub fn named(&self) -> &[String] {
        match self {
            Methods::All => &[],
            Methods::Named(names) => names,
        }
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Methods::All => f.write_str("all"),
            Methods::Named(names) => f.write_str(&names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Methods;
    use crate::Declaration;

    fn read(methods: &str) -> anyhow::Result<Methods> {
        let call = "[[calls]]\nservice = \"b\"\nwhy = \"a test\"";
        let text = format!("service = \"a\"\n{call}\nmethods = {methods}\n");
        Ok(Declaration::parse(&text)?.calls.remove(0).methods)
    }

    #[test]
    fn rpcs_are_named_or_all_and_no_other_word_is_one() {
        let all = read("\"all\"").unwrap();
        assert!(all == Methods::All && all.include("Do") && all.named().is_empty());
        let some = read("[\"Do\"]").unwrap();
        assert!(some.include("Do") && !some.include("Undo"));
        assert_eq!((all.to_string(), some.to_string()), ("all".to_owned(), "Do".to_owned()));

        for wrong in ["\"every\"", "\"All\"", "7"] {
            let error = format!("{:#}", read(wrong).unwrap_err());
            assert!(error.contains("line 5"), "{error}");
            assert!(error.contains("the names of RPCs in brackets, or \"all\""), "{error}");
        }
    }
}
