//! The sidecars of everybody who calls: what each routes where, and what became of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::join_all;
use mesh_local::http;
use meshctl::generate::cluster::host;
use meshctl::rollout::{Measured, Routes, cluster, in_force, knows};
use meshctl::services;
use meshctl::top::Metrics;

use crate::state::State;

/// How long what was applied may take to be in force everywhere.
const IN_FORCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
/// How long a sidecar may keep silent before anything was done.
const SILENCE: Duration = Duration::from_secs(10);

/// All sidecars of a shop.
#[derive(Clone, Debug)]
pub struct Fleet {
    service: String,
    /// Where their Envoys say how they are.
    sidecars: Vec<SocketAddr>,
}

/// What they had counted at some time.
#[derive(Clone, Debug, Default)]
pub struct Reading(BTreeMap<SocketAddr, Metrics>);

impl Fleet {
    /// Those who may call a service.
    pub fn of(state: &State, service: &str) -> Fleet {
        let of_processes =
            state.instances().filter_map(|(_, _, it)| Some(it.sidecar.as_ref()?.admin));
        let sidecars = of_processes.chain(state.operator).collect();
        Fleet { service: service.to_owned(), sidecars }
    }

    /// What all of them have counted.
    ///
    /// # Errors
    /// One does not answer.
    pub async fn first(&self) -> Result<Reading> {
        let begun = Instant::now();
        loop {
            let reading = self.read(&Reading::default()).await;
            let silent = self.sidecars.iter().find(|it| !reading.0.contains_key(*it));
            match silent {
                None => return Ok(reading),
                Some(silent) if begun.elapsed() > SILENCE => {
                    bail!("the sidecar whose admin port is {silent} does not answer")
                }
                Some(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// What they have counted by now; one that does not answer has counted what it had before.
    pub async fn read(&self, before: &Reading) -> Reading {
        // Names of Envoy's statistics that have this in them.
        let path = format!("/stats/prometheus?filter={}", host(&self.service));
        let pages = self.pages(&path).await.into_iter().map(|(at, page)| {
            let page = page.map(|text| Metrics::parse(&text));
            Some((at, page.or_else(|| before.0.get(&at).cloned())?))
        });
        Reading(pages.flatten().collect())
    }

    /// Waits until everybody who calls the service knows where its new version is.
    ///
    /// # Errors
    /// Somebody does not in time.
    pub async fn know(&self, routes: &Routes, at: SocketAddr) -> Result<()> {
        let versions = [routes.old_version(), routes.new_version()];
        self.all("/clusters", |page| knows(page, &self.service, versions, at))
            .await
            .with_context(|| format!("where {} {} is", self.service, routes.new_version()))
    }

    /// Waits until everybody who calls the service gives its new version this share of a hundred calls.
    ///
    /// # Errors
    /// Somebody does not in time.
    pub async fn route(&self, routes: &Routes, percent: u32) -> Result<()> {
        // The old version's share is known where the new one is not routed to at all.
        let old = 100_u32.saturating_sub(percent);
        let path = "/config_dump?resource=dynamic_route_configs";
        let routed = |page: &str| {
            let dump = serde_json::from_str(page).ok()?;
            let has = |version: &str, share| in_force(&dump, &self.service, version, share);
            Some(has(routes.new_version(), percent)? && has(routes.old_version(), old)?)
        };
        self.all(path, routed)
            .await
            .with_context(|| format!("{percent} % for {} {}", self.service, routes.new_version()))
    }

    /// Waits until the pages of all to whom it matters say so, and of one at least.
    async fn all(&self, path: &str, says: impl Fn(&str) -> Option<bool>) -> Result<()> {
        let begun = Instant::now();
        loop {
            let pages = self.pages(path).await;
            let silent = pages.iter().any(|(_, page)| page.is_none());
            let said: Vec<bool> = pages.iter().filter_map(|(_, it)| says(it.as_deref()?)).collect();
            if !silent && !said.is_empty() && said.iter().all(|it| *it) {
                return Ok(());
            }
            if begun.elapsed() > IN_FORCE {
                let (of, right) = (said.len(), said.iter().filter(|it| **it).count());
                bail!(
                    "not in force after {} s: {right} of {of} sidecars have it; does istiod run?",
                    IN_FORCE.as_secs()
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn pages(&self, path: &str) -> Vec<(SocketAddr, Option<String>)> {
        let ask = self.sidecars.iter().map(async |at| {
            let answer = http::request(*at, "GET", path).await;
            (*at, answer.ok().filter(|(status, _)| *status == 200).map(|(_, text)| text))
        });
        join_all(ask).await
    }
}

impl Reading {
    /// Calls to a version of a service that have ended since an earlier one.
    pub fn since(&self, before: &Reading, service: &str, version: &str) -> Measured {
        let pages = self.0.iter().map(|(at, page)| match before.0.get(at) {
            Some(before) => page.since(before),
            None => page.clone(),
        });
        let (is_door, cluster) = (services::speaks_http(service), cluster(service, version));
        let now = Metrics::of_all(self.0.values().cloned());
        Measured::of(&Metrics::of_all(pages), &now, &cluster, is_door)
    }
}
