//! Addresses of a cluster's workloads. Istio tells a workload by its address, so each has one of its own;
//! all of them are loopback's, which is a block of sixteen million on Linux.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

/// How many workloads there may be.
const MOST: u8 = 200;

/// Two blocks of addresses: where workloads are called, and where each calls others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    block: [u8; 2],
}

impl Network {
    /// Draws one that nobody else uses.
    ///
    /// # Errors
    /// The system has no loopback addresses but `127.0.0.1`.
    pub fn draw() -> Result<Network> {
        let mut random = rand::rng();
        for _ in 0..100 {
            // Neither the first, which is localhost's, nor the last.
            let block = [random.random_range(1..=254), 2 * random.random_range(0..=126)];
            let network = Network { block };
            let ends = [network.called(0), network.calls(MOST)];
            if ends.iter().all(|address| TcpListener::bind((*address, 0)).is_ok()) {
                return Ok(network);
            }
        }
        bail!(
            "each workload needs a loopback address of its own, such as 127.1.2.3, and this system \
             has none (Linux has)"
        )
    }

    /// Where the workload with this number is called.
    pub fn called(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.block[0], self.block[1], number.saturating_add(1))
    }

    /// Where it calls others: its sidecar takes the calls in there.
    pub fn calls(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.block[0], self.block[1] + 1, number.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn no_workload_has_the_address_of_another() {
        let network = Network::draw().unwrap();
        let all: std::collections::BTreeSet<_> =
            (0..20).flat_map(|number| [network.called(number), network.calls(number)]).collect();

        assert_eq!(all.len(), 40);
        assert!(all.iter().all(|it| it.is_loopback() && it.octets()[1] > 0));
    }
}
