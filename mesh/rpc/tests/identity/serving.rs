//! The server as services run it, and callers as they are.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mesh_policy::values;
use mesh_proto::operator::v1::{
    GetSagaRequest, sagas_service_client::SagasServiceClient,
    sagas_service_server::SagasServiceServer,
};
use mesh_rpc::{Channel, Identity, Server, discovery::Endpoints};
use mesh_runtime::{Service, ServiceConfig};
use tokio::sync::watch;
use tonic::{Request, Status, metadata::MetadataMap};

use crate::support::{Sagas, Seen};

/// Longer than anything here should take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server with an identity whose `GetSaga` answers with the caller's key.
pub struct Serving {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    service: Service,
}

impl Serving {
    pub async fn start(name: &'static str, identity: &Identity) -> Self {
        Self::with(name, identity, values::Server::default()).await
    }

    pub async fn with(name: &'static str, identity: &Identity, values: values::Server) -> Self {
        let config = ServiceConfig { log_level: "off".to_owned(), ..ServiceConfig::default() };
        let service = Service::begin(name, &config).await.unwrap();
        let seen = Arc::new(Seen::default());
        let address = Server::new(&service, &[])
            .identity(identity)
            .values(watch::Sender::new(values).subscribe())
            .add(SagasServiceServer::new(Sagas(Arc::clone(&seen))))
            .serve(config.listen_addr)
            .await
            .unwrap();
        Self { address, seen, service }
    }

    /// Somebody who calls this server, believing that it is `target`.
    pub fn caller(&self, identity: &Identity, target: &str) -> Caller {
        let channel = Channel::builder("caller", target).identity(identity).unwrap();
        Caller(channel.seed(7).follow(&Endpoints::fixed(&[self.address])))
    }

    pub async fn stop(self) {
        self.service.stop();
        tokio::time::timeout(PATIENCE, self.service.finish()).await.expect("ends in time");
    }
}

/// One who calls.
#[derive(Clone)]
pub struct Caller(Channel);

impl Caller {
    /// Calls, and returns who the server says that it was called by.
    pub async fn who(&self) -> Result<String, Status> {
        self.say(MetadataMap::new()).await
    }

    /// Calls with this metadata.
    pub async fn say(&self, metadata: MetadataMap) -> Result<String, Status> {
        let message = GetSagaRequest::default();
        let mut request = Request::from_parts(metadata, Default::default(), message);
        // Who is told to come back later than that does not wait.
        request.set_timeout(PATIENCE);
        let answer = SagasServiceClient::new(self.0.clone()).get_saga(request).await?;
        Ok(answer.into_inner().saga.unwrap_or_default().saga_id)
    }
}
