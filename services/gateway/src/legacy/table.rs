//! The routes of one reading of the file.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use http::Method;
use mesh_flags::Flag;

use super::{backend::Backend, compare::Ignored};
use crate::edge::rest;

/// Every route, by what leads to it.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By a template of the contracts and the method.
    pub(super) bindings: HashMap<(Method, String), Arc<Route>>,
    /// By the beginning of a path.
    pub(super) beginnings: Vec<(String, Arc<Route>)>,
    /// By name.
    pub(super) backends: BTreeMap<String, Arc<Backend>>,
}

/// A path, or all paths below one, that an old system answers for some or for all.
#[derive(Debug)]
pub(super) struct Route {
    /// What it is called in metrics and the log.
    pub(super) name: Arc<str>,
    pub(super) backend: Arc<Backend>,
    /// For whom the shop answers.
    pub(super) moved: Flag,
    /// For whose reads the other side is asked, too.
    pub(super) shadowed: Option<Flag>,
    pub(super) ignored: Ignored,
}

impl Table {
    /// The route of a request: that of its template in the contracts, else the longest beginning.
    pub(super) fn find(
        &self,
        method: &Method,
        path: &str,
        template: Option<&str>,
    ) -> Option<Arc<Route>> {
        let key = template.map(|template| (method.clone(), template.to_owned()));
        if let Some(route) = key.and_then(|key| self.bindings.get(&key)) {
            return Some(Arc::clone(route));
        }
        let fitting = self.beginnings.iter().filter(|(from, _)| rest(path, from).is_some());
        fitting.max_by_key(|(from, _)| from.len()).map(|(_, route)| Arc::clone(route))
    }
}
