//! A shop in which somebody listens between every consumer and its providers.

use std::collections::BTreeMap;

use mesh_testkit::{Platform, PlatformOptions};
use meshctl::{graph::Graph, services::sources};

use super::{ear::Ear, tap::Tap, wire::Wire};
use crate::shop::{SERVICES, Shop};

/// The shop, and what its consumers are told.
pub struct Lab {
    pub shop: Shop,
    pub ears: BTreeMap<String, Ear>,
    _taps: Vec<Tap>,
    _wires: Vec<Wire>,
}

impl Lab {
    pub async fn open() -> Self {
        let (calls, heard) = edges();
        let mut ears: BTreeMap<String, Ear> = BTreeMap::new();
        let services = [SERVICES, &["storefront"]].concat();
        let mut options = PlatformOptions::new(&services).without_waiting();
        let (mut taps, mut wires) = (Vec::new(), Vec::new());
        for (from, to) in calls {
            let tap = Tap::start(ears.entry(from.clone()).or_default()).await;
            options = options.source(&from, &to, &format!("static:{}", tap.address));
            taps.push((to, tap));
        }
        for to in heard {
            let wire = Wire::start(ears.entry(to.clone()).or_default()).await;
            options = options.broker(&to, wire.address);
            wires.push(wire);
        }
        let platform = Platform::start(options).await;
        for (to, tap) in &taps {
            tap.leads_to(platform.grpc(to));
        }
        for wire in &wires {
            wire.leads_to(&platform.operator_nats());
        }
        platform.ready().await;
        let taps = taps.into_iter().map(|(_, tap)| tap).collect();
        Self { shop: Shop { platform }, ears, _taps: taps, _wires: wires }
    }
}

/// Who calls whom, and who hears events. The gateway passes on what others ask and read.
fn edges() -> (Vec<(String, String)>, Vec<String>) {
    let graph = Graph::read(sources()).unwrap();
    let calls = graph.calls.iter().filter(|edge| edge.from != meshctl::services::GATEWAY);
    let calls = calls.map(|edge| (edge.from.clone(), edge.to.clone())).collect();
    let mut heard: Vec<_> = graph.events.iter().map(|edge| edge.to.clone()).collect();
    heard.sort();
    heard.dedup();
    (calls, heard)
}
