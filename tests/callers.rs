//! Who a test is to the services of its platform: the administrator, and where only services may call,
//! the one that declares it.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex},
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response, header::AUTHORIZATION};
use mesh_policy::{Callers as Declared, Table};
use mesh_rpc::{Identity, peer::token::ServiceKey};
use mesh_testkit::{Platform, ServiceProcess};
use meshctl::{
    caller::{self, Caller, Evidence},
    demo::Doors,
    users::{Terms, Users, Who},
};
use tonic::{
    body::Body,
    codegen::Service,
    transport::{self, Endpoint},
};

/// The calls that only services may make: by path, a service that declares it.
static SERVICES_ONLY: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let table = Table::from_descriptors(&[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap();
    let declared = Declared::declared(shop::DECLARATIONS.iter().copied()).unwrap();
    let methods = table.methods().filter(|it| it.access.service && !it.access.is_for_users());
    let found = methods.filter_map(|method| {
        let (_, name) = method.path.split_once('/')?;
        let service = method.path.strip_prefix("shop.")?.split_once('.')?.0;
        let caller = declared.of(service, name)?.into_iter().min()?;
        Some((method.path.to_string(), caller))
    });
    found.collect()
});

/// Everybody who can call a platform.
pub struct Callers {
    pub users: Users,
    keys: mesh_local::ServiceKeys,
    identities: Mutex<HashMap<String, Identity>>,
}

impl Callers {
    /// Those whom this platform knows; read once.
    pub fn of(platform: &Platform) -> Arc<Self> {
        static KNOWN: LazyLock<Mutex<HashMap<PathBuf, Arc<Callers>>>> =
            LazyLock::new(Mutex::default);
        let key = platform.user_keys().private();
        let mut known = KNOWN.lock().unwrap();
        let made = known.entry(key.clone()).or_insert_with(|| {
            let users = Users::read(&key, &Terms::default()).unwrap();
            let keys = platform.service_keys().clone();
            Arc::new(Self { users, keys, identities: Mutex::default() })
        });
        Arc::clone(made)
    }

    /// The service of this name, or the operators' program.
    pub fn identity(&self, name: &str) -> Identity {
        let mut known = self.identities.lock().unwrap();
        let made = known.entry(name.to_owned()).or_insert_with(|| {
            let id = format!("{}/{name}", mesh_local::NAMESPACE).parse().unwrap();
            ServiceKey::read(id, &self.keys.private(name)).unwrap().into()
        });
        made.clone()
    }

    /// What a call as the administrator shows.
    pub fn administrator(&self) -> HeaderValue {
        self.users.header(Who::Administrator).unwrap()
    }

    /// A request that shows the administrator's token.
    pub fn by_administrator<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let token = self.administrator().to_str().unwrap().parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        request
    }

    /// Signs a call to `target` that nobody has signed, as whoever may make it.
    fn sign(&self, target: &str, path: &str, headers: &mut HeaderMap) {
        if headers.contains_key(AUTHORIZATION) {
            return;
        }
        match SERVICES_ONLY.get(path.trim_start_matches('/')) {
            Some(service) => self.identity(service).attach(target, headers),
            None => drop(headers.insert(AUTHORIZATION, self.administrator())),
        }
    }

    /// A channel to the service `target` with every layer of the mesh, of the administrator's or of
    /// the service that calls it.
    pub fn builder(self: &Arc<Self>, target: &str) -> mesh_rpc::ChannelBuilder {
        let of_target = format!("shop.{target}.");
        let mut only = SERVICES_ONLY.iter().filter(|(path, _)| path.starts_with(&of_target));
        let service = only.next().map_or(caller::NAME, |(_, service)| service);
        let this = Arc::clone(self);
        let channel = mesh_rpc::Channel::builder("customer", target);
        let channel = channel.identity(&self.identity(service)).unwrap();
        channel.user(move || Some(this.administrator()))
    }
}

/// A channel that shows the platform who calls.
#[derive(Clone)]
pub struct Channel {
    inner: transport::Channel,
    target: Arc<str>,
    callers: Arc<Callers>,
}

impl Channel {
    /// To the service `target` of the platform, at this address.
    pub fn to(platform: &Platform, target: &str, uri: String) -> Self {
        let inner = Endpoint::from_shared(uri).unwrap().connect_lazy();
        Self { inner, target: target.into(), callers: Callers::of(platform) }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = <transport::Channel as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        self.callers.sign(&self.target, &path, request.headers_mut());
        self.inner.call(request)
    }
}

/// The operators' program, as this platform knows it.
pub fn operator(platform: &Platform) -> Caller {
    Caller {
        shows: Evidence::Key(platform.service_keys().private(caller::NAME)),
        users: Some(platform.user_keys().private()),
        terms: Terms::default(),
    }
}

/// The doors of a platform's services, and who comes.
pub fn doors(platform: &Platform) -> Doors {
    let find = |name: &str| {
        let replicas = platform.services().iter().filter(|process| process.name() == name);
        replicas.map(ServiceProcess::grpc).collect()
    };
    Doors { caller: operator(platform), ..Doors::find(find) }
}
