//! The connection to the broker: it reconnects for ever, and says when it is away.

use std::{path::PathBuf, str::FromStr as _, time::Duration};

use anyhow::Context as _;
use async_nats::{Client, ConnectOptions, Event, ServerAddr, jetstream};
use mesh_rpc::access::Access;
use mesh_runtime::{Service, ServiceConfig};
use tokio::sync::watch;

use crate::traffic::{self, Refusals};

/// How often the broker must show that it lives; after two silent ones it counts as away.
const PING_INTERVAL: Duration = Duration::from_secs(3);
/// How long one request to the broker may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(3);
/// How long a published message may wait for its acknowledgement.
const ACK_LIMIT: Duration = Duration::from_secs(5);
/// First and longest pause between attempts to reconnect.
const RECONNECT_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The connection of one process to its broker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Nats {
    client: Client,
    jetstream: jetstream::Context,
    link: watch::Receiver<Link>,
}

/// How the connection stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Link {
    connected: bool,
    /// How often it was made: one that came back at once is another one all the same.
    made: u64,
    /// What the broker last refused, since the connection was made.
    refused: Option<String>,
    /// How often it refused something, over all connections.
    refusals: u64,
}

/// Connects to the broker of `config`, in the background and as often as needed.
///
/// With the scheme `tls` the connection is encrypted; `?tls_ca=FILE` then names the PEM file of the
/// authorities to trust.
///
/// Sets the condition `broker` of the service's health: degraded while the broker is away, never
/// down, because a service that can still answer goes on answering. User and password come from
/// the address, and answers to the user's own inboxes, `_INBOX.<user>.>`. What the broker refuses
/// the user is an error in the log, a count on `/metrics`, and a reason to be degraded until the
/// connection is made anew. A client that ended by itself is one until the process is started anew.
pub async fn connect(service: &Service, config: &ServiceConfig) -> anyhow::Result<Nats> {
    let url = config.nats_url.as_ref().context("NATS_URL is not set")?;
    let condition = service.health().condition("broker");
    condition.degraded("connecting");
    let nats =
        Nats::open(url.expose(), &format!("{}/{}", service.name(), service.instance())).await?;
    traffic::measure(service, nats.client.clone());
    let mut link = nats.link.clone();
    let mut refusals = Refusals::of(service);
    let stopped = service.stopped();
    service.spawn("broker", async move {
        let report = async {
            loop {
                let now = link.borrow_and_update().clone();
                refusals.come_to(now.refusals);
                match (now.refused, now.connected) {
                    (Some(what), _) => condition.degraded(format!("refuses: {what}")),
                    (None, true) => condition.ready(),
                    (None, false) => condition.degraded("away"),
                }
                if link.changed().await.is_err() {
                    // What the client cannot read ends it, such as a lone CR in a message's header.
                    tracing::error!(
                        "the broker's client has ended: look for a panic above, and restart"
                    );
                    condition.degraded("the client has ended: restart this process");
                    return;
                }
            }
        };
        stopped.run_until_cancelled(report).await;
    });
    Ok(nats)
}

impl Nats {
    /// Connects to `url` as `name`, without a service: for tools and tests.
    ///
    /// Returns at once; the connection is made in the background. `url` may be several addresses
    /// of one cluster, with commas between them. Fails if it is none.
    pub async fn open(url: &str, name: &str) -> anyhow::Result<Self> {
        let (sender, link) = watch::channel(Link::default());
        let addresses: Vec<_> = url
            .split(',')
            .map(ServerAddr::from_str)
            .collect::<Result<_, _>>()
            .context("the broker's address is malformed")?;
        let named = addresses.iter().find(|address| address.username().is_some());
        let user = named.and_then(ServerAddr::username).map(percent_decoded);
        let password = named.and_then(ServerAddr::password).map(percent_decoded);
        let mut options = ConnectOptions::new()
            .name(name)
            .retry_on_initial_connect()
            .ping_interval(PING_INTERVAL)
            .request_timeout(Some(REQUEST_LIMIT))
            .reconnect_delay_callback(reconnect_pause)
            .event_callback(move |event| {
                let sender = sender.clone();
                async move { report(&sender, &event) }
            });
        // The client library reads no credentials from an address.
        if let Some(user) = user {
            // Of others' inboxes it hears nothing.
            options = options.custom_inbox_prefix(format!("_INBOX.{user}"));
            options = options.user_and_password(user, password.unwrap_or_default());
        }
        options = secured(options, &addresses);
        let client = options.connect(addresses).await.context("cannot reach the broker")?;
        let jetstream = jetstream::ContextBuilder::new()
            .timeout(ACK_LIMIT)
            .ack_timeout(ACK_LIMIT)
            .build(client.clone());
        Ok(Self { client, jetstream, link })
    }

    /// The client, for plain messages.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client, for streams.
    pub fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    /// Hears which users' tokens are revoked, as long as `service` runs, so that `access` refuses them;
    /// nothing, if no user is known to it.
    pub fn follow_revocations(&self, service: &Service, access: &Access) {
        if let Some(revocations) = access.revocations() {
            revocations.follow(service, &self.client, &self.jetstream);
        }
    }

    /// Hears by which keys users' tokens are signed, as long as `service` runs, so that `access` takes
    /// those of new keys and refuses those of keys that are gone; nothing, if no user is known to it.
    pub fn follow_keys(&self, service: &Service, access: &Access) {
        if let Some(users) = access.users() {
            users.follow_keys(service, &self.client, &self.jetstream);
        }
    }

    /// True while the broker is connected.
    pub fn is_connected(&self) -> bool {
        self.link.borrow().connected
    }

    /// Waits until the broker is connected.
    pub async fn connected(&self) {
        self.wait_for(|link| link.connected).await;
    }

    /// Waits until the broker is away.
    pub async fn disconnected(&self) {
        self.wait_for(|link| !link.connected).await;
    }

    /// Names the connection of now, for [`Nats::lost`].
    pub fn connection(&self) -> u64 {
        self.link.borrow().made
    }

    /// Waits until `connection` is gone, even if another one has taken its place since.
    pub async fn lost(&self, connection: u64) {
        self.wait_for(|link| !link.connected || link.made != connection).await;
    }

    async fn wait_for(&self, state: impl FnMut(&Link) -> bool) {
        let mut link = self.link.clone();
        if link.wait_for(state).await.is_err() {
            // The client has ended, and with it everything that could happen.
            std::future::pending::<()>().await;
        }
    }
}

fn report(link: &watch::Sender<Link>, event: &Event) {
    match event {
        Event::Connected => {
            tracing::info!("broker connected");
            link.send_modify(|link| {
                *link = Link { connected: true, made: link.made + 1, refused: None, ..*link };
            });
        }
        Event::Disconnected | Event::Closed => {
            tracing::warn!("broker disconnected");
            link.send_modify(|link| link.connected = false);
        }
        Event::ServerError(error) => refused(link, &error.to_string()),
        Event::SlowConsumer(subscription) => {
            tracing::warn!(subscription, "broker messages were dropped");
        }
        Event::ClientError(error) if error.to_string().contains("authorization violation") => {
            refused(link, "this user with this password: look at NATS_URL");
        }
        Event::ClientError(error) => tracing::debug!(%error, "broker client error"),
        Event::LameDuckMode | Event::Draining => tracing::info!("broker is about to stop"),
    }
}

/// Says it once for as long as nothing else is refused: the work that needs it tries again and again.
fn refused(link: &watch::Sender<Link>, what: &str) {
    let known = link.borrow().refused.as_deref() == Some(what);
    if !known {
        let way_out = "the service's mesh.toml has to declare it, and the broker to be given the \
                       users that `gen` makes of that";
        tracing::error!(what, way_out, "broker refuses");
    }
    link.send_modify(|link| {
        link.refused = Some(what.to_owned());
        link.refusals += 1;
    });
}

fn reconnect_pause(attempts: usize) -> Duration {
    let (first, longest) = RECONNECT_PAUSE;
    let doublings = u32::try_from(attempts.saturating_sub(1).min(10)).unwrap_or(10);
    (first * 2_u32.pow(doublings)).min(longest)
}

/// Undoes `%41` for `A`: passwords in addresses are encoded where they have to be.
/// An address `tls://…?tls_ca=FILE` wants TLS, and names the PEM file of those to trust.
fn secured(options: ConnectOptions, addresses: &[ServerAddr]) -> ConnectOptions {
    let tls = addresses.iter().any(ServerAddr::tls_required);
    addresses.iter().fold(options.require_tls(tls), |options, address| {
        let url = address.clone().into_inner();
        let trust = url.query_pairs().find(|(name, _)| name == "tls_ca");
        match trust {
            Some((_, file)) => options.add_root_certificates(PathBuf::from(&*file)),
            None => options,
        }
    })
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_decoded() {
        assert_eq!(percent_decoded("a%40b%2Fc%zz%"), "a@b/c%zz%");
    }

    #[test]
    fn pauses_between_reconnects_grow_to_a_limit() {
        assert_eq!(reconnect_pause(1), Duration::from_millis(50));
        assert_eq!(reconnect_pause(3), Duration::from_millis(200));
        assert_eq!(reconnect_pause(1_000), Duration::from_secs(1));
    }
}
