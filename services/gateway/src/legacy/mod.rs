//! What a system still answers that the shop grows over, until nothing is left of it: which paths, for
//! whom, and whether both sides answer alike. Operators turn it by flags while the gateway runs.
//!
//! `file` reads `LEGACY_FILE`, `table` finds a route in it, `backend` asks the old system, `cross`
//! answers a request by the side that it belongs to, `shadow` asks the other side and `compare`s.

mod backend;
mod circuit;
mod compare;
mod cross;
mod file;
mod follow;
mod headers;
mod metrics;
mod shadow;
mod table;

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use http::request::Parts;
use mesh_runtime::{ConfigError, Service};
use tokio::sync::Semaphore;

pub(crate) use cross::answer;
pub(crate) use file::{Ground, Place};

use crate::{
    edge::{Caller, caller},
    routes::Rpc,
};
use table::{Route, Table};

/// Shadow reads at once; what comes beyond is not asked.
const SHADOWS: usize = 32;

/// The routes that an old system answers, as the file says it now.
#[derive(Debug)]
pub(crate) struct Legacy {
    table: RwLock<Arc<Table>>,
    shadows: Arc<Semaphore>,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A service of the shop.
    New,
    /// The old system.
    Legacy,
}

/// A request at a route that both sides have, or had.
#[derive(Clone, Debug)]
pub(crate) struct Crossing {
    route: Arc<Route>,
    side: Side,
    is_shadowed: bool,
}

impl Legacy {
    /// Reads the file at `path`, and again whenever it changes, for as long as the service runs. One
    /// that cannot be changes nothing then, and is told of once.
    ///
    /// # Errors
    /// A [`ConfigError`] with the line, if the file cannot be.
    pub(crate) fn follow(
        service: &Service,
        path: &Path,
        ground: Ground,
    ) -> Result<Arc<Self>, ConfigError> {
        follow::begin(service, path, ground)
    }

    fn new(table: Table) -> Arc<Self> {
        let table = RwLock::new(Arc::new(table));
        Arc::new(Self { table, shadows: Arc::new(Semaphore::new(SHADOWS)) })
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// Whose a request is, if the old system has something to do with it. `binding` is where it leads
    /// in the contracts: the template, and the RPC.
    pub(crate) fn crossing(&self, head: &Parts, binding: Option<(&str, &Rpc)>) -> Option<Crossing> {
        let route = self.table().find(&head.method, head.uri.path(), binding.map(|(it, _)| it))?;
        let (caller, rpc) = (caller(head), binding.map(|(_, rpc)| rpc));
        let to_new = Crossing { route: Arc::clone(&route), side: Side::New, is_shadowed: false };
        if !may_cross(rpc, &caller) || is_ambiguous(head.uri.path()) {
            return Some(to_new);
        }
        let who = match &caller {
            Caller::User(name) => name.to_string(),
            Caller::Address(address) => address.to_string(),
        };
        let side = if route.moved.is_on(Some(&who)) { Side::New } else { Side::Legacy };
        let both = rpc.is_some() && head.method == http::Method::GET;
        let is_shadowed =
            both && route.shadowed.as_ref().is_some_and(|flag| flag.is_on(Some(&who)));
        Some(Crossing { route, side, is_shadowed })
    }
}

impl Crossing {
    /// What the route is called in the log.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.route.name
    }
}

/// Whether the old system may hear of it: of what is not for everybody only from users who were
/// verified. Others are refused by the service, as ever.
fn may_cross(rpc: Option<&Rpc>, caller: &Caller) -> bool {
    rpc.is_none_or(|rpc| rpc.is_public) || matches!(caller, Caller::User(_))
}

/// Whether two servers could read a path differently: then who checked it checked another one.
fn is_ambiguous(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let is_dots = |segment: &str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    lower.contains("%2f")
        || lower.contains("%5c")
        || lower.contains('\\')
        || lower.contains("//")
        || lower.split('/').any(is_dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_two_servers_could_read_differently_is_known() {
        for plain in ["/v1/products/MUG", "/v1/products/a.b", "/v1/products/%20..x", "/v1/..."] {
            assert!(!is_ambiguous(plain), "{plain}");
        }
        for odd in [
            "/v1/products/..",
            "/v1/products/%2E%2e/admin",
            "/v1/./products",
            "/v1/products/a%2Fb",
            "/v1/products/a%5Cb",
            "/v1//products",
        ] {
            assert!(is_ambiguous(odd), "{odd}");
        }
    }
}
