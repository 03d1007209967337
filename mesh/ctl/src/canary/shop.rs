//! The shop that a version takes over in: its cluster, and its supervisor.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mesh_local::Home;
use mesh_local::cluster::Cluster;
use meshctl::generate::cluster::NAMESPACE;
use meshctl::rollout::Routes;
use serde_json::Value;

use crate::output;
use crate::platform::{Wish, ask};
use crate::state::{Instance, State};

const SAID: Duration = Duration::from_secs(10);

/// A shop that runs behind sidecars.
#[derive(Debug)]
pub struct Shop {
    pub home: Home,
    cluster: Cluster,
}

impl Shop {
    /// Finds it.
    ///
    /// # Errors
    /// Nothing is up, or not behind sidecars, or its cluster is not.
    pub fn find(home: &Home) -> Result<Shop> {
        let program = output::program();
        let state = State::load(home)?;
        ensure!(
            state.caller.is_behind_sidecar(),
            "the shop is not behind sidecars, which would spread its calls: `{program} down`, \
             `{program} cluster up` and `{program} up --istio --detach`"
        );
        let cluster = Cluster::find(home)?.filter(Cluster::is_up);
        let cluster = cluster.with_context(|| {
            format!("the shop's cluster is down: `{program} cluster up` starts it again")
        })?;
        Ok(Shop { home: home.clone(), cluster })
    }

    /// The process of a service that is this version, if one is.
    ///
    /// # Errors
    /// Nothing is up any more.
    pub fn process(&self, service: &str, version: &str) -> Result<Option<Instance>> {
        let all = State::load(&self.home)?.services.remove(service).unwrap_or_default();
        let is_it = |it: &Instance| it.sidecar.as_ref().is_some_and(|it| it.version == version);
        Ok(all.into_iter().find(is_it))
    }

    /// Applies objects.
    ///
    /// # Errors
    /// The API server or istiod refuses one.
    pub async fn apply(&self, objects: &[Value]) -> Result<()> {
        self.cluster.kubectl().apply(objects).await
    }

    /// Refuses routes that are not those that the checkout ships: they could not be put back.
    ///
    /// # Errors
    /// They are others.
    pub async fn is_as_shipped(&self, routes: &Routes) -> Result<()> {
        let service = routes.service();
        for shipped in routes.shipped()? {
            let kind = shipped["kind"].as_str().unwrap_or_default();
            let name = format!("{}.networking.istio.io", kind.to_ascii_lowercase());
            let known = [&*name, service, "--namespace", NAMESPACE];
            let known = self.cluster.kubectl().get(&known).await?;
            if known["spec"] != shipped["spec"] {
                bail!(
                    "{kind} {service} is not as it is shipped, and could not be put back: `kubectl \
                     apply --server-side --filename istio/generated/{service}.yaml`, or a restart of \
                     the shop after `{} gen`",
                    output::program()
                );
            }
        }
        Ok(())
    }

    /// Has the supervisor start a program as a version of a service, which then is well.
    ///
    /// # Errors
    /// It is not, in time; nothing of it is left then.
    pub async fn join(&self, routes: &Routes, program: &Path, patience: Duration) -> Result<()> {
        let (service, version) = (routes.service().to_owned(), routes.new_version().to_owned());
        let program = program.to_owned();
        ask(&self.home, &Wish::Join { service, version, program, patience }).await?;
        self.said(routes, true).await
    }

    /// Has the supervisor end the process that joined, if one did.
    ///
    /// # Errors
    /// The supervisor cannot.
    pub async fn leave(&self, routes: &Routes) -> Result<()> {
        let (service, version) = (routes.service().to_owned(), routes.new_version().to_owned());
        ask(&self.home, &Wish::Leave { service, version }).await?;
        self.said(routes, false).await
    }

    /// Waits until `state.json` says so, too: the supervisor writes it a moment later.
    async fn said(&self, routes: &Routes, here: bool) -> Result<()> {
        let begun = Instant::now();
        while self.process(routes.service(), routes.new_version())?.is_some() != here {
            ensure!(begun.elapsed() < SAID, "the supervisor does not say what runs");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
