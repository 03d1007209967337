//! How much a call matters when not all can be answered: what the caller says, up to what the
//! contract says, and what a handler's own calls say after it.
//!
//! Work that is done for a call matters no more than that call. So a [`Server`](crate::Server) runs
//! each handler with the criticality that it was called with, and the calls that the handler makes
//! say so to their callees ([`attach`]), as do those of tasks begun with
//! [`Deadline::spawn`](crate::Deadline::spawn).
//!
//! Cost: a look at a task-local and a header per call that is made; for one that is answered, part
//! of the [`guard`]'s allocation.

use http::{HeaderMap, HeaderName, HeaderValue};

pub use mesh_policy::Criticality;

use crate::guard;

/// The header in which a caller says how much its call matters: `sheddable`, `default` or
/// `critical`.
pub const HEADER: HeaderName = HeaderName::from_static("x-mesh-criticality");

/// Returns what the call that this task works for was called with; none outside of a call.
pub fn current() -> Option<Criticality> {
    guard::criticality()
}

/// Says to the callee how much the call matters: as much as the one that this task works for, or
/// less if the headers say so already. Outside of a call they stay as they are, and without a word
/// a call matters as much as its contract says.
///
/// To be called in the task of whoever makes the call.
pub fn attach(headers: &mut HeaderMap) {
    let Some(current) = current() else { return };
    let matters = said(headers).map_or(current, |said| said.min(current));
    headers.insert(HEADER, HeaderValue::from_static(matters.as_str()));
}

/// Reads what the caller says, which counts up to what the contract says.
///
/// Without a word, or with one that is none, a call matters as much as its contract says.
pub(crate) fn of(headers: &HeaderMap, contract: Criticality) -> Criticality {
    said(headers).map_or(contract, |said| said.min(contract))
}

fn said(headers: &HeaderMap) -> Option<Criticality> {
    let value = headers.get(HEADER)?;
    Criticality::ALL.into_iter().find(|it| value.as_bytes() == it.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Deadline, guard::Scope};

    fn headers(text: Option<&'static str>) -> HeaderMap {
        text.map(|text| (HEADER, HeaderValue::from_static(text))).into_iter().collect()
    }

    #[test]
    fn a_caller_may_say_that_a_call_matters_less_than_its_contract_says_but_not_more() {
        let read = |text, contract| of(&headers(text), contract);

        assert_eq!(read(None, Criticality::Critical), Criticality::Critical);
        assert_eq!(read(Some("sheddable"), Criticality::Critical), Criticality::Sheddable);
        assert_eq!(read(Some("critical"), Criticality::Default), Criticality::Default);
        assert_eq!(read(Some("URGENT"), Criticality::Default), Criticality::Default);
    }

    #[tokio::test]
    async fn a_handlers_calls_matter_as_much_as_its_own_or_less() {
        let attached = |text| {
            let mut headers = headers(text);
            attach(&mut headers);
            headers.remove(HEADER)
        };
        assert_eq!(attached(None), None, "outside of a call the contract decides");

        let scope = Scope::new(Some(Criticality::Default));
        let (silent, less, more) = scope
            .enter(async move {
                let spawned = Deadline::spawn(async move { attached(None) });
                (spawned.await.unwrap(), attached(Some("sheddable")), attached(Some("critical")))
            })
            .await;

        assert_eq!(silent.unwrap(), "default");
        assert_eq!(less.unwrap(), "sheddable");
        assert_eq!(more.unwrap(), "default");
    }
}
