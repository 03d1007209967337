//! The ways by which the same product is asked for, and what one round of each brought.

use std::net::SocketAddr;

use anyhow::Result;

use super::clients::{self, Client};

/// A way to the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// gRPC, at the service itself.
    Direct,
    /// gRPC, through the gateway.
    Grpc,
    /// JSON, through the gateway.
    Json,
    /// JSON, through Envoy.
    Envoy,
}

/// Whom to ask, and where.
#[derive(Clone, Debug)]
pub(super) struct Targets<'a> {
    pub sku: &'a str,
    pub service: SocketAddr,
    pub gateway: SocketAddr,
    pub envoy: Option<SocketAddr>,
}

impl Targets<'_> {
    /// So many callers for each way that there is.
    pub fn callers(&self, count: usize) -> Result<Vec<(Way, Vec<Client>)>> {
        let mut ways = vec![
            (Way::Direct, clients::grpc(self.service, self.sku, count)?),
            (Way::Grpc, clients::grpc(self.gateway, self.sku, count)?),
            (Way::Json, clients::json(self.gateway, self.sku, count)),
        ];
        ways.extend(self.envoy.map(|at| (Way::Envoy, clients::json(at, self.sku, count))));
        Ok(ways)
    }
}

/// What one round of one way brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    pub rps: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// A round of every way, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn(pub Vec<(Way, Round)>);

impl Turn {
    /// What a way brought, if it was taken.
    pub fn of(&self, way: Way) -> Option<Round> {
        self.0.iter().find(|(taken, _)| *taken == way).map(|(_, round)| *round)
    }
}
