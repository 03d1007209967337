//! Calls as a process makes them through its sidecar: in plaintext on this machine, with the name of whom
//! it means.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use mesh_local::http;
use mesh_policy::{Effective, Table};
use mesh_rpc::{
    discovery::{Endpoints, Source},
    policy::LivePolicy,
};
use meshctl::generate::cluster::{GRPC, host};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    client::{Grpc, GrpcService},
    codegen::{Body as HttpBody, StdError, http::uri::PathAndQuery},
    metadata::{MetadataMap, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::lab::Process;
use crate::generated::call::Raw;

/// Longer than anything takes here that is answered at all.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A question that anybody may ask, and that costs little.
pub const CHEAP: &str = "shop.catalog.v1.CatalogService/ListCategories";

/// To one service, by one sidecar. Nothing is repeated, nothing ejected.
#[derive(Clone)]
pub struct Line {
    channel: Channel,
}

impl Line {
    pub fn to(service: &str, by: SocketAddr) -> Self {
        let named = format!("http://{}:{GRPC}", host(service)).parse().unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{by}")).unwrap().origin(named);
        Self { channel: endpoint.connect_lazy() }
    }

    /// Asks with an empty message.
    pub async fn ask(&self, path: &str) -> Result<Bytes, Status> {
        self.ask_with(path, &[]).await
    }

    /// The same, but goes away with the first message: some answers have no end.
    pub async fn first(&self, path: &str) -> Result<Bytes, Status> {
        let mut answers = call(self.channel.clone(), path, &[]).await?.into_inner();
        Ok(answers.message().await?.unwrap_or_default())
    }

    /// Asks with an empty message and headers.
    pub async fn ask_with(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Bytes, Status> {
        ask_by(self.channel.clone(), path, headers).await
    }

    /// Asks with an empty message, and hears the answer to its end, where the status is: who goes away
    /// before is one that has given up. The code, and what the headers say, be it good or not.
    pub async fn answered(&self, path: &str) -> (Code, MetadataMap) {
        let answer = match call(self.channel.clone(), path, &[]).await {
            Ok(answer) => answer,
            Err(refused) => return (refused.code(), refused.metadata().clone()),
        };
        let (headers, mut answers, _) = answer.into_parts();
        loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return (Code::Ok, headers),
                Err(broken) => return (broken.code(), headers),
            }
        }
    }

    /// Asks so often, so many at a time; how often which code came.
    pub async fn many(&self, count: u64, headers: &[(&'static str, &str)]) -> Codes {
        use futures::StreamExt as _;
        let asked = futures::stream::iter(0..count).map(|_| self.ask_with(CHEAP, headers));
        let answers = asked.buffer_unordered(16).collect::<Vec<_>>().await;
        let refused = answers.iter().find_map(|it| it.as_ref().err().cloned());
        let code = |it: Result<Bytes, Status>| it.map_or_else(|it| it.code(), |_| Code::Ok);
        Codes(answers.into_iter().map(code).collect(), refused)
    }
}

/// To one service, by one sidecar, with the whole stack that services of the shop have.
pub fn stack(service: &str, by: SocketAddr) -> mesh_rpc::Channel {
    let contracts = Table::from_descriptors(&[shop::DESCRIPTORS]).unwrap();
    let policy = LivePolicy::fixed(Effective::of_contracts(Arc::new(contracts)));
    let place: Source = format!("mesh:{}:{GRPC}@{by}", host(service)).parse().unwrap();
    let channel = mesh_rpc::Channel::builder("test", service).policy(&policy);
    channel.follow(&Endpoints::follow(&place))
}

/// Asks with an empty message and these headers, by whatever makes calls.
pub async fn ask_by<C>(
    channel: C,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Bytes, Status>
where
    C: GrpcService<Body>,
    C::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <C::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    let mut answers = call(channel, path, headers).await?.into_inner();
    let answer = answers.message().await?.unwrap_or_default();
    // To the end: Envoy closes the connection of somebody who goes away too often before.
    while answers.message().await?.is_some() {}
    Ok(answer)
}

async fn call<C>(
    channel: C,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Response<Streaming<Bytes>>, Status>
where
    C: GrpcService<Body>,
    C::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <C::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let mut request = Request::new(futures::stream::iter([Bytes::new()]));
    for (name, value) in headers {
        request.metadata_mut().insert(*name, MetadataValue::try_from(*value).unwrap());
    }
    request.set_timeout(PATIENCE);
    let path = PathAndQuery::try_from(format!("/{path}")).unwrap();
    client.streaming(request, path, Raw).await
}

/// What came of calls, and what the first one said that was refused.
#[derive(Debug)]
pub struct Codes(pub Vec<Code>, pub Option<Status>);

impl Codes {
    pub fn of(&self, code: Code) -> usize {
        self.0.iter().filter(|it| **it == code).count()
    }

    pub fn failed(&self) -> usize {
        self.0.len() - self.of(Code::Ok)
    }
}

/// How many calls of [`CHEAP`] have reached a process.
pub async fn reached(process: &Process) -> u64 {
    reached_by(process, CHEAP).await
}

/// How many calls of an RPC have reached a process.
pub async fn reached_by(process: &Process, path: &str) -> u64 {
    let (_, text) = http::request(process.admin, "GET", "/metrics").await.unwrap();
    let method = format!("rpc_method=\"{path}\"");
    let lines = text.lines().filter(|line| {
        line.starts_with("rpc_server_call_duration_seconds_count{") && line.contains(&method)
    });
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum::<f64>() as u64
}

/// How many calls of [`CHEAP`] have reached the processes of a version.
pub async fn reached_version(processes: &[Process], version: &str) -> u64 {
    let mut sum = 0;
    for process in processes.iter().filter(|it| it.version == version) {
        sum += reached(process).await;
    }
    sum
}
