//! Who may do what: the access rules of contracts, checked by every server before a handler begins.
//!
//! A rule (`mesh.v1.access`) names users, services and operators. Who the service is that calls, the
//! [`Peer`] says; who the user is, the token in the call's `authorization` header, which each server
//! verifies itself. Of what is not public nobody is let in whom the rule does not name:
//!
//! | refused | code | reason |
//! |---|---|---|
//! | nobody says who the user is | UNAUTHENTICATED | `TOKEN_MISSING` |
//! | the token is not believed | UNAUTHENTICATED | `TOKEN_EXPIRED`, `TOKEN_FORGED`, … |
//! | the caller is known, and may not | PERMISSION_DENIED | `ACCESS_DENIED` |
//!
//! A handler finds the user in the request's extensions, as [`user`] does, and where the rule leaves
//! it to the handler whose a thing is, [`only_of`] says whose things it may hand out:
//!
//! ```
//! use mesh_rpc::access::only_of;
//! use tonic::{Request, Status};
//! use uuid::Uuid;
//!
//! struct Order { customer: Uuid }
//!
//! fn get_order(request: &Request<()>, order: Order) -> Result<Order, Status> {
//!     match only_of(request) {
//!         Some(user) if user != order.customer => Err(Status::not_found("no such order")),
//!         _ => Ok(order),
//!     }
//! }
//! # let order = Order { customer: Uuid::nil() };
//! # assert!(get_order(&Request::new(()), order).is_ok(), "nobody is asked here");
//! ```
//!
//! **Cost per call.** Of what is public: nothing. Else a hash of the token, which is verified once; and
//! where the request names its owner, a look through its fields, of which none is decoded.

mod denied;
mod keys;
mod owner;
mod rule;

use std::{fmt, sync::Arc};

use http::{Extensions, HeaderMap, Request, header::AUTHORIZATION};
use mesh_auth::{Revocations, User, Verifier};
use mesh_policy::Callers;
use mesh_runtime::{ConfigError, Service, ServiceConfig};
use opentelemetry::KeyValue;
use tonic::{Status, body::Body};
use tracing::Span;
use uuid::Uuid;

use crate::{Identity, peer::Peer};
use denied::Denied;
pub use rule::Rule;
use rule::Verdict;

/// For whom a service calls. Believed of services alone.
pub(crate) const SUBJECT: &str = "x-mesh-subject";

/// What a server needs to know to check its contracts' rules. Cheap to clone.
///
/// The default checks nothing: a process that is told nothing about anybody cannot tell callers
/// apart.
#[derive(Clone, Default)]
pub struct Access {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    service: &'static str,
    /// None if no user is known here.
    users: Option<Arc<Verifier>>,
    callers: Callers,
    operators: Vec<String>,
}

/// The user whose things alone a call may see.
#[derive(Clone, Copy, Debug)]
struct OnlyOf(Uuid);

impl Access {
    /// Checks rules for calls that reach `service`: users by `users`, services by what `callers`
    /// declare, programs of operators by their names.
    pub fn new(
        service: &'static str,
        users: Option<Arc<Verifier>>,
        callers: Callers,
        operators: &[String],
    ) -> Self {
        let operators = operators.to_vec();
        Self { shared: Some(Arc::new(Shared { service, users, callers, operators })) }
    }

    /// As a service is configured: `USER_KEYS`, `USER_ISSUER`, `USER_AUDIENCE`, `REVOCATIONS_LOST` and
    /// `OPERATORS`; the
    /// calls that services declare are in `declarations`, the texts of their `mesh.toml`. The keys are
    /// read again when they change.
    ///
    /// Rules are checked as soon as the service can tell anybody from others, by its identity or by
    /// users' keys. One that can do neither serves its own machine only.
    ///
    /// # Errors
    /// A [`ConfigError`] if the keys cannot be used, or if nobody could be told apart.
    pub fn of_service(
        service: &Service,
        config: &ServiceConfig,
        identity: &Identity,
        declarations: &[&str],
    ) -> anyhow::Result<Self> {
        if config.user_keys.is_none() && identity.id().is_none() {
            if config.listen_addr.ip().is_loopback() {
                return Ok(Self::default());
            }
            return Err(ConfigError(format!(
                "LISTEN_ADDR {} can be reached from elsewhere, and nothing says who may call: set \
                 USER_KEYS, and a certificate or a key for the service",
                config.listen_addr
            ))
            .into());
        }
        let users = users_of_service(service, config)?;
        let callers = Callers::declared(declarations.iter().copied())?;
        Ok(Self::new(service.name(), users, callers, &config.operators))
    }

    /// Who knows users by their tokens, to be told of keys; none if no user is known here.
    pub fn users(&self) -> Option<&Arc<Verifier>> {
        self.shared.as_ref()?.users.as_ref()
    }

    /// What is revoked of users' tokens, to be told; none if no user is known here.
    pub fn revocations(&self) -> Option<&Arc<Revocations>> {
        Some(self.users()?.revocations())
    }

    /// The rule of a method, as it is checked here; none if everybody may call it.
    pub fn rule(&self, contract: &mesh_policy::Method) -> Option<Rule> {
        let shared = self.shared.as_ref()?;
        let method = contract.path.rsplit('/').next().unwrap_or_default();
        let callers = shared.callers.of(shared.service, method);
        Rule::of(&contract.access, callers.as_ref())
    }

    /// The rule of what no contract names: nobody may.
    pub(crate) fn nobody(&self) -> Option<Rule> {
        self.shared.as_ref().map(|_| Rule::default())
    }

    /// Lets a call through whose caller fits the rule, with the [`User`] in its extensions.
    ///
    /// # Errors
    /// UNAUTHENTICATED or PERMISSION_DENIED.
    pub async fn admit(
        &self,
        rule: &Rule,
        mut request: Request<Body>,
    ) -> Result<Request<Body>, Status> {
        let Some(shared) = &self.shared else { return Ok(request) };
        let admitted = shared.admit(rule, request.headers(), request.extensions());
        let (user, verdict) = admitted.map_err(|denied| shared.refuse(&denied))?;
        match &user {
            Some(user) => {
                note(&user.subject());
                request.extensions_mut().insert(Arc::clone(user));
            }
            // Only services get here without a user, and they are believed.
            None => subject(request.headers()).iter().for_each(note),
        }
        match (verdict, user) {
            (Verdict::Everything, _) => {}
            (Verdict::OfOwner(number), Some(user)) => {
                let (read, owner) = owner::read(request, number).await?;
                if owner != Some(user.subject()) {
                    return Err(shared.refuse(&Denied::Foreign));
                }
                request = read;
            }
            (Verdict::OnlyOfUser, Some(user)) => {
                request.extensions_mut().insert(OnlyOf(user.subject()));
            }
            (Verdict::OfOwner(_) | Verdict::OnlyOfUser, None) => {
                return Err(shared.refuse(&Denied::TokenMissing));
            }
        }
        Ok(request)
    }
}

/// Who says who a user is, as a service is configured: `USER_KEYS`, `USER_ISSUER`, `USER_AUDIENCE` and
/// `REVOCATIONS_LOST`; nobody without the first. The keys are read again when they change.
///
/// # Errors
/// A [`ConfigError`] if the keys cannot be used.
pub fn users_of_service(
    service: &Service,
    config: &ServiceConfig,
) -> Result<Option<Arc<Verifier>>, ConfigError> {
    let Some(file) = &config.user_keys else { return Ok(None) };
    let when_lost = config.revocations_lost.parse();
    let when_lost = when_lost.map_err(|error| ConfigError(format!("REVOCATIONS_LOST: {error}")))?;
    let verifier = Verifier::new(&config.user_issuer, &config.user_audience);
    keys::follow(service, file, Arc::new(verifier.when_lost(when_lost))).map(Some)
}

impl Shared {
    fn admit(
        &self,
        rule: &Rule,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<(Option<Arc<User>>, Verdict), Denied> {
        let peer = extensions.get().and_then(Peer::service);
        if let Some(peer) = peer
            && rule.is_for_service(peer, &self.operators)
        {
            return Ok((None, Verdict::Everything));
        }
        match self.user(headers)? {
            Some(user) => {
                let verdict = rule.judge(&user).ok_or(Denied::User)?;
                Ok((Some(user), verdict))
            }
            None if peer.is_some() && !rule.is_for_users() => Err(Denied::Service),
            None => Err(Denied::TokenMissing),
        }
    }

    /// The user whose token the call shows, if it shows one.
    fn user(&self, headers: &HeaderMap) -> Result<Option<Arc<User>>, Denied> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let Some(users) = &self.users else { return Err(Denied::NoUsers) };
        let value = value.to_str().ok().filter(|_| values.next().is_none());
        let value = value.ok_or(Denied::Token(mesh_auth::Refused::Malformed))?;
        users.verify(value).map(Some).map_err(Denied::Token)
    }

    fn refuse(&self, denied: &Denied) -> Status {
        use crate::Fault as _;
        let (service, reason) =
            (KeyValue::new("service", self.service), KeyValue::new("reason", denied.reason()));
        denied::REFUSED.add(1, &[service, reason]);
        denied.status()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("checks", &self.shared.is_some()).finish()
    }
}

/// Says for whom a service makes a call that no user waits for, such as a step of a saga: nothing is
/// allowed by it, but whoever looks at the call's span sees it.
pub fn on_behalf_of<T>(request: &mut tonic::Request<T>, user: Uuid) {
    if let Ok(user) = user.to_string().parse() {
        request.metadata_mut().insert(SUBJECT, user);
    }
}

/// The user for whom a service says that it calls.
pub(crate) fn subject(headers: &HeaderMap) -> Option<Uuid> {
    headers.get(SUBJECT).and_then(|value| Uuid::try_parse_ascii(value.as_bytes()).ok())
}

/// Notes on the call's span for whom it is made.
fn note(user: &Uuid) {
    Span::current().record("enduser.id", tracing::field::display(user));
}

/// The user who makes a call; nobody if it comes from a service, or everybody may make it.
pub fn user<T>(request: &tonic::Request<T>) -> Option<&User> {
    request.extensions().get::<Arc<User>>().map(AsRef::as_ref)
}

/// The user whose things alone a call may see and change; none if it may see everybody's. What belongs
/// to somebody else is answered as if it were not there.
pub fn only_of<T>(request: &tonic::Request<T>) -> Option<Uuid> {
    request.extensions().get::<OnlyOf>().map(|only| only.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: &'static str) -> Option<Uuid> {
        let mut headers = HeaderMap::new();
        headers.insert(SUBJECT, http::HeaderValue::from_static(value));
        subject(&headers)
    }

    #[test]
    fn whom_a_service_calls_for_is_told_and_nothing_else_is_taken_for_it() {
        let user = Uuid::from_u128(7);
        let mut request = tonic::Request::new(());
        on_behalf_of(&mut request, user);

        assert_eq!(subject(&request.metadata().clone().into_headers()), Some(user));
        assert_eq!(subject(&HeaderMap::new()), None);
        assert_eq!(told("ada"), None);
    }

    #[test]
    fn whoever_knows_nobody_serves_its_own_machine_only() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config = ServiceConfig { log_level: "off".to_owned(), ..Default::default() };
            let service = Service::begin("callee", &config).await.unwrap();
            let access = |config: &ServiceConfig| {
                Access::of_service(&service, config, &Identity::default(), &[])
            };
            assert!(access(&config).unwrap().shared.is_none());

            let elsewhere = "0.0.0.0:0".parse().unwrap();
            let reachable = ServiceConfig { listen_addr: elsewhere, ..config.clone() };
            let refused = access(&reachable).unwrap_err();
            assert!(refused.is::<ConfigError>() && refused.to_string().contains("set USER_KEYS"));

            let wrong = ServiceConfig { user_keys: Some("/nowhere".into()), ..config };
            let refused = access(&wrong).unwrap_err().to_string();
            assert!(refused.starts_with("USER_KEYS: /nowhere cannot be read"), "{refused}");
        });
    }
}
