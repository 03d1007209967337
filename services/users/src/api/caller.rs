//! Where a call comes from, as far as guessing is slowed by it.

use std::net::IpAddr;

use mesh_rpc::peer::{Connection, Peer};
use tonic::Request;

/// The header in which the gateway says where its caller is: one address, which it has made sure of.
/// Nobody else is believed.
const HEADER: &str = "x-mesh-client-address";
/// Who may say it.
const GATEWAY: &str = "gateway";

/// The caller's address; the network, where one caller has many.
pub fn address<T>(request: &Request<T>) -> String {
    let peer = request.extensions().get::<Peer>().and_then(Peer::service);
    let said = request.metadata().get(HEADER).filter(|_| peer == Some(GATEWAY));
    let said = said.and_then(|said| said.to_str().ok()?.parse().ok());
    let connection = request.extensions().get::<Connection>();
    let address = said.or_else(|| connection.map(|connection| connection.from().ip()));
    address.map(network).unwrap_or_default()
}

/// One household has 2^64 addresses of version 6.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_rpc::peer::Source;

    use super::*;

    fn call(peer: Peer) -> Request<()> {
        let mut request = Request::new(());
        request.metadata_mut().insert(HEADER, "2001:db8:1:2:3::4".parse().unwrap());
        let connection = Connection::plaintext("[::ffff:192.0.2.7]:4000".parse().unwrap());
        request.extensions_mut().insert(connection);
        request.extensions_mut().insert(peer);
        request
    }

    #[test]
    fn only_the_gateway_says_where_a_caller_is() {
        let service = |name: &str| {
            Peer::new(format!("spiffe://mesh.local/{name}").parse().unwrap(), Source::Token)
        };
        assert_eq!(address(&call(service("gateway"))), "2001:db8:1:2::/64");
        assert_eq!(address(&call(service("orders"))), "192.0.2.7");
        assert_eq!(address(&call(Peer::loopback())), "192.0.2.7");
        assert_eq!(address(&Request::new(())), "");
    }
}
