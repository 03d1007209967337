//! Addresses from DNS.

use std::{
    collections::{HashMap, HashSet},
    iter, mem,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, Record, RecordType, rdata::SRV},
    },
    system_conf::read_system_conf,
};

use super::{DEFAULT_PORT, DnsName, Settings, known::Finding};

/// Targets of SRV records that are looked up at once.
const LOOKUPS: usize = 16;
/// However long a look-up's chain of questions is, it ends after so many timeouts.
const MAX_ROUNDS: u32 = 5;

/// A name that is looked up again and again.
pub(super) struct Dns {
    name: String,
    port: Option<u16>,
    servers: Vec<SocketAddr>,
    settings: Settings,
    /// Whether one address is enough, and which it was.
    one: Option<Option<SocketAddr>>,
    /// One that asks all nameservers at once, then one for each of several.
    resolvers: Vec<TokioResolver>,
    /// Whether the name had SRV records when it last answered.
    has_services: bool,
    /// What the targets of SRV records had when they last answered.
    targets: HashMap<Name, Vec<IpAddr>>,
}

/// Why there are no addresses.
#[derive(Clone, Debug)]
enum Miss {
    Absent { why: String, ttl: Option<Duration>, name_exists: bool },
    Failed { why: String },
}

/// What the targets of SRV records have.
#[derive(Default)]
struct Targets {
    ips: HashMap<Name, Vec<IpAddr>>,
    ttl: Option<Duration>,
    /// Why one of them could not be asked.
    flaw: Option<String>,
}

/// Addresses of one name.
struct Answer {
    ips: Vec<IpAddr>,
    ttl: Option<Duration>,
}

impl Dns {
    pub(super) fn new(name: &DnsName, settings: Settings) -> Self {
        Self {
            name: name.name.clone(),
            port: name.port,
            servers: name.servers.clone(),
            settings,
            one: None,
            resolvers: Vec::new(),
            has_services: false,
            targets: HashMap::new(),
        }
    }

    /// One address of `host`, the same as long as it is there.
    pub(super) fn one(host: &str, port: u16, settings: Settings) -> Self {
        let name = DnsName { name: host.to_owned(), port: Some(port), servers: Vec::new() };
        Self { one: Some(None), ..Self::new(&name, settings) }
    }

    /// Looks the name up.
    pub(super) async fn look(&mut self) -> Finding {
        let rounds = self.attempts().saturating_mul(MAX_ROUNDS);
        let limit = self.settings.timeout.saturating_mul(rounds);
        let finding = match tokio::time::timeout(limit, self.resolve()).await {
            Ok(Ok(finding)) => self.chosen(finding),
            Ok(Err(miss)) => miss.into(),
            Err(_) => Finding::Failed { why: "nameservers did not answer in time".to_owned() },
        };
        if matches!(finding, Finding::Failed { .. }) {
            // The system's nameservers may be others by now.
            self.resolvers.clear();
        }
        finding
    }

    /// Hickory takes the first answer, even SERVFAIL: then each nameserver is asked alone.
    async fn resolve(&mut self) -> Result<Finding, Miss> {
        if self.resolvers.is_empty() {
            self.resolvers = self.build().map_err(|error| Miss::Failed {
                why: format!("the system's nameservers are not known: {error}"),
            })?;
        }
        let mut first = None;
        for resolver in self.resolvers.clone() {
            match self.resolve_by(&resolver).await {
                Err(failed @ Miss::Failed { .. }) => {
                    first.get_or_insert(failed);
                }
                answer => return answer,
            }
        }
        Err(first.unwrap_or_else(|| Miss::Failed { why: "there are no nameservers".to_owned() }))
    }

    async fn resolve_by(&mut self, resolver: &TokioResolver) -> Result<Finding, Miss> {
        let mut name = Name::from_ascii(&self.name)
            .map_err(|error| Miss::Failed { why: error.to_string() })?;
        name.set_fqdn(true);
        if let Some(port) = self.port {
            return Ok(at_port(addresses(resolver, &name).await?, port));
        }
        match resolver.lookup(name.clone(), RecordType::SRV).await.map_err(Miss::from) {
            Ok(lookup) => {
                self.has_services = true;
                self.services(resolver, &lookup).await
            }
            // As if there were none at all, once: name services flap, and ports are not guessed
            // while they may be known again in a moment.
            Err(absent @ Miss::Absent { .. }) if mem::take(&mut self.has_services) => Err(absent),
            // Some servers deny the name itself if it has no record of the type.
            Err(Miss::Absent { .. }) => {
                Ok(at_port(addresses(resolver, &name).await?, DEFAULT_PORT))
            }
            Err(failed) => Err(failed),
        }
    }

    /// The addresses behind SRV records.
    async fn services(
        &mut self,
        resolver: &TokioResolver,
        lookup: &Lookup,
    ) -> Result<Finding, Miss> {
        let services = by_priority(lookup.answers());
        let mut targets = Targets { ttl: ttl(lookup.answers()), ..Targets::default() };
        let mut addresses = Vec::new();
        for level in services.chunk_by(|a, b| a.priority == b.priority) {
            self.ask_targets(resolver, lookup, level, &mut targets).await;
            for service in level {
                let ips = targets.ips.get(&service.target).into_iter().flatten();
                addresses.extend(ips.map(|ip| SocketAddr::new(*ip, service.port)));
            }
            if !addresses.is_empty() {
                self.targets = targets.ips;
                return Ok(Finding::Found { addresses, ttl: targets.ttl, flaw: targets.flaw });
            }
        }
        Err(match targets.flaw {
            Some(why) => Miss::Failed { why },
            None => Miss::Absent {
                why: "no target of the SRV records has an address".to_owned(),
                ttl: targets.ttl,
                name_exists: true,
            },
        })
    }

    /// Finds the addresses of all targets of `level`. One that cannot be asked keeps those it had.
    async fn ask_targets(
        &self,
        resolver: &TokioResolver,
        lookup: &Lookup,
        level: &[&SRV],
        into: &mut Targets,
    ) {
        let targets: HashSet<&Name> = level.iter().map(|service| &service.target).collect();
        let questions: Vec<_> = targets
            .into_iter()
            .map(|target| {
                let (resolver, target) = (resolver.clone(), target.clone());
                let along = came_along(lookup, &target);
                async move {
                    let answer = match along {
                        Some(answer) => Ok(answer),
                        None => addresses(&resolver, &target).await,
                    };
                    (target, answer)
                }
            })
            .collect();
        let mut answers = stream::iter(questions).buffer_unordered(LOOKUPS);
        while let Some((target, answer)) = answers.next().await {
            match answer {
                Ok(Answer { ips, ttl }) => {
                    into.ttl = into.ttl.into_iter().chain(ttl).min();
                    into.ips.insert(target, ips);
                }
                Err(Miss::Absent { .. }) => {}
                Err(Miss::Failed { why }) => {
                    into.flaw = Some(format!("{target}: {why}"));
                    if let Some(ips) = self.targets.get(&target) {
                        into.ips.insert(target, ips.clone());
                    }
                }
            }
        }
    }

    fn chosen(&mut self, finding: Finding) -> Finding {
        match (&mut self.one, finding) {
            (Some(one), Finding::Found { addresses, ttl, flaw }) => {
                let kept = one.filter(|one| addresses.contains(one));
                *one = kept.or_else(|| addresses.iter().min().copied());
                Finding::Found { addresses: one.iter().copied().collect(), ttl, flaw }
            }
            (_, finding) => finding,
        }
    }

    fn build(&self) -> Result<Vec<TokioResolver>, NetError> {
        let (all, mut options) = if self.servers.is_empty() {
            read_system_conf()?
        } else {
            let servers = self.servers.iter().map(name_server).collect();
            (ResolverConfig::from_parts(None, Vec::new(), servers), ResolverOpts::default())
        };
        options.cache_size = 0;
        options.timeout = self.settings.timeout;
        // Hickory counts those after the first.
        options.attempts = self.settings.attempts.saturating_sub(1);
        let several = all.name_servers().iter().filter(|_| all.name_servers().len() > 1);
        let each = several.map(|one| ResolverConfig::from_name_servers(vec![one.clone()]));
        let configs: Vec<_> = iter::once(all.clone()).chain(each).collect();
        let build = |config| {
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
                .with_options(options.clone())
                .build()
        };
        configs.into_iter().map(build).collect()
    }

    fn attempts(&self) -> u32 {
        u32::try_from(self.settings.attempts).unwrap_or(u32::MAX).max(1)
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    // One that denies a name is believed: another that cannot be reached must not delay that.
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// The services, those to be preferred first. The target `.` means that there is none (RFC 2782),
/// and so does port 0, with which Consul shows a service that listens nowhere.
fn by_priority(answers: &[Record]) -> Vec<&SRV> {
    let mut services: Vec<_> = answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(service) if !service.target.is_root() && service.port > 0 => Some(service),
            _ => None,
        })
        .collect();
    services.sort_by_key(|service| service.priority);
    services
}

/// The addresses of a target that the answer brought along (RFC 2782).
fn came_along(lookup: &Lookup, target: &Name) -> Option<Answer> {
    let of_target = || lookup.additionals().iter().filter(|record| record.name == *target);
    let ips: Vec<_> = of_target().filter_map(ip).collect();
    (!ips.is_empty()).then(|| Answer { ips, ttl: ttl(of_target()) })
}

/// A records, or AAAA ones if there are none: an endpoint with both is one endpoint.
async fn addresses(resolver: &TokioResolver, name: &Name) -> Result<Answer, Miss> {
    match ask(resolver, name, RecordType::A).await {
        Err(Miss::Absent { name_exists: true, .. }) => ask(resolver, name, RecordType::AAAA).await,
        answer => answer,
    }
}

async fn ask(resolver: &TokioResolver, name: &Name, kind: RecordType) -> Result<Answer, Miss> {
    let lookup = resolver.lookup(name.clone(), kind).await?;
    let ips: Vec<_> = lookup.answers().iter().filter_map(ip).collect();
    if ips.is_empty() {
        return Err(Miss::Absent { why: "no records".to_owned(), ttl: None, name_exists: true });
    }
    Ok(Answer { ips, ttl: ttl(lookup.answers()) })
}

fn at_port(Answer { ips, ttl }: Answer, port: u16) -> Finding {
    let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    Finding::Found { addresses, ttl, flaw: None }
}

fn ip(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

fn ttl<'a>(records: impl IntoIterator<Item = &'a Record>) -> Option<Duration> {
    records.into_iter().map(|record| Duration::from_secs(record.ttl.into())).min()
}

impl From<NetError> for Miss {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => {
                let denied = none.response_code == ResponseCode::NXDomain;
                let why = if denied { "NXDOMAIN" } else { "no records" };
                let ttl = none.negative_ttl.map(|seconds| Duration::from_secs(seconds.into()));
                Self::Absent { why: why.to_owned(), ttl, name_exists: !denied }
            }
            error => Self::Failed { why: error.to_string() },
        }
    }
}

impl From<Miss> for Finding {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::Absent { why, ttl, .. } => Self::Absent { why, ttl },
            Miss::Failed { why } => Self::Failed { why },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str]) -> Finding {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Finding::Found { addresses, ttl: None, flaw: None }
    }

    #[test]
    fn behind_a_sidecar_one_address_is_kept_as_long_as_it_is_there() {
        let mut dns = Dns::one("orders.shop", 1, Settings::default());

        assert_eq!(dns.chosen(found(&["10.0.0.2:1", "10.0.0.3:1"])), found(&["10.0.0.2:1"]));
        assert_eq!(dns.chosen(found(&["10.0.0.1:1", "10.0.0.2:1"])), found(&["10.0.0.2:1"]));
        assert_eq!(dns.chosen(found(&["10.0.0.3:1", "10.0.0.1:1"])), found(&["10.0.0.1:1"]));
    }

    #[test]
    fn the_target_dot_is_no_service() {
        let record = |priority, target: Name| {
            Record::from_rdata(Name::root(), 0, RData::SRV(SRV::new(priority, 0, 1, target)))
        };
        let name = |text| Name::from_ascii(text).unwrap();
        let records = [record(2, name("b.")), record(0, Name::root()), record(1, name("a."))];

        let services = by_priority(&records);

        let targets: Vec<_> = services.iter().map(|service| service.target.to_string()).collect();
        assert_eq!(targets, ["a.", "b."]);
    }
}
