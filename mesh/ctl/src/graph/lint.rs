//! What works and is still unwise: known ways in which systems of services go wrong.

use std::collections::BTreeMap;

use mesh_policy::Idempotency;
use serde::Serialize;

use super::{Graph, Place};
use crate::traces::Talk;

/// A request that waits for more than so many calls in a row has all their failures and all their time.
const CHAIN: usize = 3;

/// More calls to the same service for one request, on average, are a conversation: each waits for a way
/// there and back, and one of them fails more often than one alone.
const CHATTY: f64 = 3.0;

/// Something that is unwise, and why it is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The pattern's name.
    pub pattern: &'static str,
    /// Whom it is about, and what follows from it.
    pub evidence: String,
    /// Where it is declared.
    pub place: Place,
}

impl Graph {
    /// Everything unwise about it that declarations show: circles of calls, chains of more than three, a
    /// service that all others need, stores that two services write, and calls that may wait longer than
    /// whoever says nothing waits for their caller.
    pub fn lint(&self) -> Vec<Finding> {
        let mut findings = self.circles();
        // In a circle every chain has no end.
        if findings.is_empty() {
            findings.extend(self.chain());
        }
        findings.extend(self.hubs());
        findings.extend(self.shared());
        findings.extend(self.late());
        findings.sort();
        findings
    }

    fn circles(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for service in &self.services {
            let back = self.walks(service).into_iter().filter(|walk| walk.last() == Some(service));
            // Each circle is told once, from the first of its services.
            for circle in back.filter(|walk| walk.iter().all(|it| it >= service)) {
                findings.push(Finding {
                    pattern: "circle of calls",
                    evidence: format!(
                        "{} → {}: none of them can be started, changed or fail alone",
                        service,
                        circle.join(" → ")
                    ),
                    place: self.place_of(service, &circle[0]),
                });
            }
        }
        findings
    }

    /// Every way from a service along its calls that meets nobody twice, but may end where it began.
    fn walks(&self, from: &str) -> Vec<Vec<String>> {
        let mut walks = Vec::new();
        let mut open: Vec<Vec<String>> = vec![Vec::new()];
        while let Some(walk) = open.pop() {
            let at = walk.last().map_or(from, String::as_str);
            if !walk.is_empty() && at == from {
                continue;
            }
            for next in self.calls.iter().filter(|edge| edge.from == at).map(|edge| &edge.to) {
                if !walk.contains(next) {
                    let longer: Vec<String> = walk.iter().chain([next]).cloned().collect();
                    walks.push(longer.clone());
                    open.push(longer);
                }
            }
        }
        walks
    }

    fn chain(&self) -> Option<Finding> {
        let walks = self.services.iter().flat_map(|service| {
            let walks = self.walks(service).into_iter();
            walks.map(move |walk| (service.as_str(), self.caused(service, walk)))
        });
        let (first, longest) = walks.max_by_key(|(_, walk)| walk.len())?;
        (longest.len() > CHAIN).then(|| Finding {
            pattern: "deep chain",
            evidence: format!(
                "{first} → {}: {} calls in a row; each of them adds its time and its failures",
                longest.join(" → "),
                longest.len()
            ),
            place: self.place_of(first, &longest[0]),
        })
    }

    /// As much of a walk as one request can be the cause of: what only reads has nothing changed.
    fn caused(&self, from: &str, walk: Vec<String>) -> Vec<String> {
        let (mut at, mut reads) = (from.to_owned(), false);
        let mut reached = Vec::new();
        for next in walk {
            let edges = self.calls.iter().filter(|edge| edge.from == at && edge.to == next);
            let methods = edges.flat_map(|edge| &edge.names).filter_map(|it| self.method(it));
            let (mut some_read, mut all_read) = (false, true);
            methods.for_each(|method| {
                let reads = method.idempotency == Idempotency::NoSideEffects;
                some_read |= reads;
                all_read &= reads;
            });
            if reads && !some_read {
                break;
            }
            reads |= all_read;
            at.clone_from(&next);
            reached.push(next);
        }
        reached
    }

    fn hubs(&self) -> Vec<Finding> {
        let mut callers: BTreeMap<&str, usize> = BTreeMap::new();
        for edge in &self.calls {
            *callers.entry(&edge.to).or_default() += 1;
        }
        let others = self.services.len().saturating_sub(1);
        let all = callers.into_iter().filter(|(_, count)| others > 2 && *count >= others);
        all.map(|(service, count)| Finding {
            pattern: "everybody needs it",
            evidence: format!("all {count} others call {service}: when it is away, so are they"),
            place: self.place_to(service),
        })
        .collect()
    }

    /// What two services write: neither can change what it means without the other.
    fn shared(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (n, writer) in self.writers.iter().enumerate() {
            let earlier = self.writers[..n].iter().find(|it| it.store == writer.store);
            findings.extend(earlier.map(|first| Finding {
                pattern: "shared store",
                evidence: format!(
                    "{} and {} both write {}: it needs one owner, whom the other asks or tells",
                    first.service, writer.service, writer.store
                ),
                place: writer.place.clone(),
            }));
        }
        findings
    }

    /// What traces show besides: pairs of services of which one asks the other again and again for one
    /// request.
    pub fn chatty(&self, talks: &[Talk]) -> Vec<Finding> {
        let chatty = talks.iter().filter(|talk| talk.per_request() > CHATTY);
        let mut findings: Vec<_> = chatty
            .map(|talk| Finding {
                pattern: "chatty pair",
                evidence: format!(
                    "{} asks {} {:.1} times for one {} (seen for {}; {} times in the trace {}): ask once \
                     for all of it",
                    talk.from,
                    talk.to,
                    talk.per_request(),
                    talk.request,
                    talk.requests,
                    talk.most,
                    talk.trace
                ),
                place: self.place_of(&talk.from, &talk.to),
            })
            .collect();
        findings.sort();
        findings
    }

    /// Calls whose default deadline is beyond the caller's. Which of the caller's RPCs makes a call is
    /// not declared: it is the longest of their defaults, but for streams', which wait for what happens
    /// rather than for an answer. Who serves no RPC, such as the door, has none.
    fn late(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for edge in &self.calls {
            let own = self.contracts.get(&edge.from).into_iter().flatten();
            let own = own.filter(|method| !method.is_streaming());
            let Some(longest) = own.map(|method| method.default_deadline).max() else { continue };
            for called in edge.names.iter().filter_map(|name| self.method(name)) {
                let waits = called.default_deadline;
                if !called.is_streaming() && waits > longest {
                    findings.push(Finding {
                        pattern: "waits too long",
                        evidence: format!(
                            "{} may take {waits:?}, and who says nothing waits {longest:?} at most for \
                             {}",
                            called.path, edge.from
                        ),
                        place: edge.place.clone(),
                    });
                }
            }
        }
        findings
    }

    fn place_of(&self, from: &str, to: &str) -> Place {
        let edge = self.calls.iter().find(|edge| edge.from == from && edge.to == to);
        edge.map(|edge| edge.place.clone()).unwrap_or_else(|| self.place_to(to))
    }

    fn place_to(&self, to: &str) -> Place {
        let edge = self.calls.iter().find(|edge| edge.to == to);
        edge.map(|edge| edge.place.clone())
            .unwrap_or_else(|| Place { file: format!("services/{to}/mesh.toml"), line: 1 })
    }
}
