//! The Prometheus of `up --observe`.

use std::time::Duration;

use anyhow::Result;
use mesh_local::{Home, Ports, Progress, Prometheus, Scrape, Supervised};
use meshctl::generate::observe::{Clock, rule_files};

use super::Plan;
use super::specs::Place;
use crate::services;

const STARTING: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(5);

/// Starts it, if the plan has one, with the rules of `cargo mesh gen`; it scrapes every process.
/// Returns where it answers.
pub(super) async fn start(
    home: &Home,
    plan: &Plan,
    ports: &mut Ports,
    places: &[Place],
    progress: &mut Progress,
) -> Result<Option<(String, Supervised)>> {
    let Some(program) = plan.prometheus.clone() else { return Ok(None) };
    progress.step("starting Prometheus");
    let port = ports.port("prometheus")?;
    let rules = rule_files(&services::declarations()?, &Clock::REAL)?;
    let mut jobs: Vec<(String, Vec<_>)> = Vec::new();
    for place in places {
        match jobs.iter_mut().find(|(service, _)| *service == place.service) {
            Some((_, addresses)) => addresses.push(place.admin),
            None => jobs.push((place.service.clone(), vec![place.admin])),
        }
    }
    let scrape = Scrape { every: EVERY, jobs };
    let prometheus = Prometheus::prepare(home, "prometheus", program, port, &rules, &scrape)?;
    let log = home.logs()?.join("prometheus.0.log");
    let spec = prometheus.spec(log.clone(), Some(home.run()?.join("prometheus.pid")));
    let process = Supervised::start(spec);
    prometheus.ready(STARTING, &log).await?;
    Ok(Some((prometheus.url(), process)))
}
