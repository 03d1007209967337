//! The Prometheus of `up --observe`.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use mesh_local::{Home, Prometheus, Scrape, Supervised};
use meshctl::generate::observe::{Clock, rule_files};

use super::specs::Place;
use crate::services;

const STARTING: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(5);

/// Starts it with the rules of `cargo mesh gen`; it scrapes every process. Returns where it answers.
pub(super) async fn start(
    home: &Home,
    program: &Path,
    port: u16,
    places: &[Place],
) -> Result<(String, Supervised)> {
    let rules = rule_files(&services::declarations()?, &Clock::REAL)?;
    let mut jobs: Vec<(String, Vec<_>)> = Vec::new();
    for place in places {
        match jobs.iter_mut().find(|(service, _)| *service == place.service) {
            Some((_, addresses)) => addresses.push(place.admin),
            None => jobs.push((place.service.clone(), vec![place.admin])),
        }
    }
    let scrape = Scrape { every: EVERY, jobs };
    let program = program.to_owned();
    let prometheus = Prometheus::prepare(home, "prometheus", program, port, &rules, &scrape)?;
    let log = home.logs()?.join("prometheus.0.log");
    let spec = prometheus.spec(log.clone(), Some(home.run()?.join("prometheus.pid")));
    let process = Supervised::start(spec);
    prometheus.ready(STARTING, &log).await?;
    Ok((prometheus.url(), process))
}
