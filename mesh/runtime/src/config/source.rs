//! Where the addresses of a service come from, as text.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use super::ConfigError;

/// The port of a nameserver, unless its address says another.
const DNS_PORT: u16 = 53;

/// Where the addresses of a service come from.
///
/// | text | addresses |
/// |---|---|
/// | `static:10.0.0.1:50051,[::1]:50051` | these |
/// | `dns:orders.shop.svc.cluster.local` | the name's SRV records, else its A or AAAA ones |
/// | `dns:orders.shop.svc.cluster.local:50051` | its A or AAAA records, with this port |
/// | `dns://127.0.0.1:8600/orders.service.consul` | likewise, asking this nameserver |
/// | `mesh:orders.shop.svc.cluster.local:50051` | one, behind which a sidecar balances |
/// | `mesh:orders.shop.svc.cluster.local:50051@127.0.0.1:15001` | the sidecar's own, where nothing leads connections to it: it routes by the name |
/// | `file:/run/orders.addresses` | one in each line of a file, which is watched |
///
/// The `dns:` form is that of gRPC's naming document, `dns:[//authority/]host[:port]`; the
/// authority may list several nameservers, `dns://10.0.0.2,10.0.0.3/…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Addresses that do not change; at least one.
    Static(Vec<SocketAddr>),
    /// A name that nameservers know the addresses of.
    Dns(DnsName),
    /// One place behind which a sidecar balances.
    Mesh {
        /// A name, or an IP address.
        host: String,
        /// The port there.
        port: u16,
        /// Where the sidecar takes calls in, if they are not led to it; the name is not looked up then.
        via: Option<SocketAddr>,
    },
    /// A file that lists addresses.
    File(PathBuf),
}

/// A name in DNS, and whom to ask for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsName {
    /// The name; always taken as a full one, whether or not it ends with a dot.
    pub name: String,
    /// The port, if the name's SRV records are not to be asked for it.
    pub port: Option<u16>,
    /// The nameservers to ask; if none, those of the system.
    pub servers: Vec<SocketAddr>,
}

impl Source {
    /// The addresses, if they are known without asking anybody.
    pub fn fixed(&self) -> Option<&[SocketAddr]> {
        match self {
            Self::Static(addresses) => Some(addresses),
            Self::Dns(_) | Self::Mesh { .. } | Self::File(_) => None,
        }
    }

    /// The `HOST[:PORT]` that a request for it names as its authority; none if it has no name.
    ///
    /// A sidecar routes by it.
    pub fn authority(&self) -> Option<String> {
        match self {
            Self::Dns(DnsName { name, port: Some(port), .. }) => {
                Some(format!("{}:{port}", name.trim_end_matches('.')))
            }
            Self::Dns(DnsName { name, port: None, .. }) => {
                Some(name.trim_end_matches('.').to_owned())
            }
            Self::Mesh { host, port, .. } => Some(format!("{}:{port}", bracketed(host))),
            Self::Static(_) | Self::File(_) => None,
        }
    }
}

impl FromStr for Source {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        let (kind, place) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "static" => addresses(place).map(Self::Static),
            "dns" => dns(place).map(Self::Dns),
            "mesh" => mesh(place),
            "file" if place.trim().is_empty() => wrong("`file:` lacks the path of a file"),
            "file" => Ok(Self::File(PathBuf::from(place.trim()))),
            _ => {
                wrong(format!("`{text}` does not begin with `static:`, `dns:`, `mesh:` or `file:`"))
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static(addresses) => write!(f, "static:{}", joined(addresses)),
            Self::Dns(DnsName { name, port, servers }) => {
                f.write_str("dns:")?;
                if !servers.is_empty() {
                    write!(f, "//{}/", joined(servers))?;
                }
                f.write_str(name)?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Self::Mesh { host, port, via } => {
                write!(f, "mesh:{}:{port}", bracketed(host))?;
                via.map_or(Ok(()), |via| write!(f, "@{via}"))
            }
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

fn addresses(text: &str) -> Result<Vec<SocketAddr>, ConfigError> {
    text.split(',').map(address).collect()
}

fn address(text: &str) -> Result<SocketAddr, ConfigError> {
    let text = text.trim();
    text.parse().or_else(|_| wrong(format!("`{text}` is not IP:PORT")))
}

fn dns(text: &str) -> Result<DnsName, ConfigError> {
    let (servers, place) = match text.strip_prefix("//") {
        None => (Vec::new(), text),
        Some(rest) => {
            let (servers, place) = rest
                .split_once('/')
                .ok_or_else(|| ConfigError(format!("`dns:{text}` is not dns://SERVER/NAME")))?;
            // `dns:///name` asks the system's nameservers, as everywhere in gRPC.
            let listed = servers.split(',').filter(|_| !servers.is_empty());
            (listed.map(nameserver).collect::<Result<_, _>>()?, place)
        }
    };
    let (name, port) = match place.trim().split_once(':') {
        None => (place.trim(), None),
        Some((name, number)) => (name, Some(port(number)?)),
    };
    host_name(name)?;
    Ok(DnsName { name: name.to_owned(), port, servers })
}

fn nameserver(text: &str) -> Result<SocketAddr, ConfigError> {
    let text = text.trim();
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT)))
        .or_else(|_| wrong(format!("the nameserver `{text}` is not IP or IP:PORT")))
}

fn mesh(text: &str) -> Result<Source, ConfigError> {
    let (place, via) = match text.trim().split_once('@') {
        Some((place, via)) => (place, Some(address(via)?)),
        None => (text.trim(), None),
    };
    let (host, number) = place
        .rsplit_once(':')
        .ok_or_else(|| ConfigError(format!("`mesh:{text}` is not mesh:HOST:PORT")))?;
    let port = port(number)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.parse::<IpAddr>().is_err() {
        host_name(host)?;
    }
    Ok(Source::Mesh { host: host.to_owned(), port, via })
}

fn port(text: &str) -> Result<u16, ConfigError> {
    match text.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => wrong(format!("`{text}` is no port: 1 to 65535")),
    }
}

/// RFC 1035 §2.3.4 for the lengths; underscores because SRV names have them (RFC 2782).
fn host_name(text: &str) -> Result<(), ConfigError> {
    let full = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(known)
    };
    if full.parse::<IpAddr>().is_ok() {
        return wrong(format!("`{text}` is an address, not a name: `static:` takes addresses"));
    }
    if full.len() > 253 || !full.split('.').all(is_label) {
        return wrong(format!("`{text}` is no name in DNS"));
    }
    Ok(())
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn joined(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn wrong<T>(why: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError(why.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_source_reads_back_as_it_is_written() {
        for text in [
            "static:127.0.0.1:1,[::1]:2",
            "dns:orders.shop.svc.cluster.local",
            "dns:orders.shop.svc.cluster.local.:50051",
            "dns:_orders._tcp.service.consul",
            "dns://127.0.0.1:8600/orders.service.consul",
            "dns://10.0.0.2:53,[fd00::2]:5353/orders:50051",
            "mesh:orders.shop:50051",
            "mesh:[fd00::1]:50051",
            "mesh:10.0.0.1:50051",
            "mesh:orders.shop:50051@127.0.0.1:15001",
            "mesh:[fd00::1]:50051@[::1]:15001",
            "file:/run/orders.addresses",
            "file:relative/orders",
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_nameserver_without_a_port_has_that_of_dns() {
        let source: Source = "dns://10.0.0.2,10.0.0.3/orders".parse().unwrap();

        assert_eq!(source.to_string(), "dns://10.0.0.2:53,10.0.0.3:53/orders");
        assert_eq!("dns:///orders".parse::<Source>().unwrap().to_string(), "dns:orders");
    }

    #[test]
    fn a_source_that_nobody_can_follow_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "does not begin with"),
            ("http://orders", "does not begin with"),
            ("static:", "`` is not IP:PORT"),
            ("static:orders:1", "`orders:1` is not IP:PORT"),
            ("dns:", "`` is no name in DNS"),
            ("dns:a..b", "`a..b` is no name in DNS"),
            ("dns:ord ers", "is no name in DNS"),
            ("dns:10.0.0.1:50051", "is an address, not a name"),
            ("dns:orders:0", "`0` is no port"),
            ("dns:orders:http", "`http` is no port"),
            ("dns://orders", "is not dns://SERVER/NAME"),
            ("dns://consul/orders", "the nameserver `consul` is not IP or IP:PORT"),
            ("mesh:orders", "is not mesh:HOST:PORT"),
            ("mesh::50051", "`` is no name in DNS"),
            ("mesh:orders:50051@sidecar:1", "`sidecar:1` is not IP:PORT"),
            ("mesh:orders@127.0.0.1:15001", "is not mesh:HOST:PORT"),
            ("file:", "lacks the path"),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(format!("dns:{}", "a".repeat(64)).parse::<Source>().is_err());
        assert!(format!("dns:{}", "abc.".repeat(64)).parse::<Source>().is_err());
    }

    #[test]
    fn what_has_a_name_has_an_authority() {
        let authority = |text: &str| text.parse::<Source>().unwrap().authority();

        assert_eq!(authority("mesh:orders.shop:50051").unwrap(), "orders.shop:50051");
        assert_eq!(authority("mesh:orders.shop:1@127.0.0.1:2").unwrap(), "orders.shop:1");
        assert_eq!(authority("mesh:[::1]:50051").unwrap(), "[::1]:50051");
        assert_eq!(authority("dns:orders.shop.:50051").unwrap(), "orders.shop:50051");
        assert_eq!(authority("dns:orders.shop").unwrap(), "orders.shop");
        assert_eq!(authority("static:127.0.0.1:1"), None);
    }
}
