//! Tables that parts of a service show on its admin port.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use serde_json::{Map, Value};

type Show = Arc<dyn Fn() -> Value + Send + Sync>;

/// The tables of one service by their names.
#[derive(Default)]
pub(crate) struct Tables(RwLock<BTreeMap<String, Show>>);

impl Tables {
    pub fn add(&self, name: &str, show: impl Fn() -> Value + Send + Sync + 'static) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tables.insert(name.to_owned(), Arc::new(show));
    }

    /// The table of this name, or those below it.
    pub fn show(&self, name: &str) -> Option<Value> {
        if let Some(show) = self.find(name) {
            return Some(show());
        }
        let below: Map<_, _> =
            self.below(name).into_iter().map(|(name, show)| (name, show())).collect();
        (!below.is_empty()).then_some(below.into())
    }

    pub fn names(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    // Both leave the lock before anything is shown: a table may take its time.

    fn find(&self, name: &str) -> Option<Show> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn below(&self, name: &str) -> Vec<(String, Show)> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let inner = |known: &str| Some(known.strip_prefix(name)?.strip_prefix('/')?.to_owned());
        tables.iter().filter_map(|(known, show)| Some((inner(known)?, Arc::clone(show)))).collect()
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_shown_alone_and_among_those_beside_it() {
        let tables = Tables::default();
        tables.add("policy", || json!(1));
        tables.add("endpoints/payments", || json!(2));
        tables.add("endpoints/catalog", || json!(3));
        tables.add("endpoint", || json!(4));

        assert_eq!(tables.show("policy"), Some(json!(1)));
        assert_eq!(tables.show("endpoints/payments"), Some(json!(2)));
        assert_eq!(tables.show("endpoints"), Some(json!({"catalog": 3, "payments": 2})));
        assert_eq!(tables.show("limits"), None);
    }

    #[test]
    fn a_later_table_takes_the_earlier_ones_place() {
        let tables = Tables::default();
        tables.add("policy", || json!(1));

        tables.add("policy", || json!(2));

        assert_eq!((tables.show("policy"), tables.names().len()), (Some(json!(2)), 1));
    }
}
