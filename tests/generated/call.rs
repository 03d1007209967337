//! Calls an RPC by its name, with a message that is known by its descriptor only.

use std::{sync::LazyLock, time::Duration};

use bytes::{Buf as _, BufMut as _, Bytes};
use mesh_policy::{Access, Idempotency, Owner, RequestId, Table};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor};
use serde_json::Value;
use tonic::{
    Request, Status,
    body::Body,
    client::{Grpc, GrpcService},
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    metadata::MetadataMap,
    transport::{self, Endpoint},
};

use super::forged::{Forger, bearer};
use crate::shop::{Shop, uuid};

/// How long one call may take; none of ours comes near it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Every contract.
pub static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::new();
    for set in [mesh_proto::DESCRIPTORS, shop::DESCRIPTORS] {
        pool.decode_file_descriptor_set(set).unwrap();
    }
    pool
});

/// One RPC of the shop or of its operators.
#[derive(Clone, Debug)]
pub struct Rpc {
    /// `package.Service/Method`.
    pub path: String,
    /// The service process that is asked.
    pub process: String,
    pub input: MessageDescriptor,
    pub output: MessageDescriptor,
    /// True if a stream of answers comes.
    pub streams: bool,
    /// True if the request may change something.
    pub changes: bool,
    /// True if the request names itself by a `request_id`.
    pub has_request_id: bool,
    /// Who may call it.
    pub access: Access,
}

/// Whether a package, or what is in it, is the shop's or its operators'.
pub fn ours(name: &str) -> bool {
    name.starts_with("shop.") || name.starts_with("mesh.operator.")
}

/// Every RPC that somebody serves, in the order of their names.
pub fn rpcs() -> Vec<Rpc> {
    let table = Table::from_descriptors(&[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap();
    let services = POOL.services().filter(|service| ours(service.full_name()));
    let mut rpcs: Vec<_> = services
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| {
            let service = method.parent_service().full_name().to_owned();
            let path = format!("{service}/{}", method.name());
            // Operators' services are mounted by all; the orders service has both of them.
            let process = service
                .strip_prefix("shop.")
                .map_or("orders", |name| name.split_once('.').map_or(name, |(process, _)| process));
            let policy = table.method(&path).unwrap();
            Rpc {
                process: process.to_owned(),
                input: method.input(),
                output: method.output(),
                streams: method.is_server_streaming(),
                changes: policy.idempotency != Idempotency::NoSideEffects,
                has_request_id: policy.request_id == RequestId::Required,
                access: policy.access.clone(),
                path,
            }
        })
        .collect();
    rpcs.sort_by(|a, b| a.path.cmp(&b.path));
    rpcs
}

pub fn rpc(path: &str) -> Rpc {
    rpcs().into_iter().find(|rpc| rpc.path == path).unwrap_or_else(|| panic!("no RPC {path}"))
}

impl Rpc {
    /// The request that JSON describes.
    pub fn request(&self, json: &Value) -> DynamicMessage {
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        DynamicMessage::deserialize_with_options(self.input.clone(), json.clone(), &options)
            .unwrap_or_else(|error| panic!("{}: {error} in {json}", self.path))
    }

    /// The field with the one user who may call it; none if others may as well.
    pub fn owners_alone(&self) -> Option<&str> {
        let Access { public, signed_in, service, operator, .. } = self.access;
        let others = public || signed_in || service || operator;
        match &self.access.owner {
            Some(Owner::Field { name, .. }) if !others && self.access.permissions.is_empty() => {
                Some(name)
            }
            _ => None,
        }
    }

    /// Sends a request as bytes; returns the bytes of the (first) answer.
    pub async fn send(&self, shop: &Shop, request: Bytes) -> Result<Bytes, Status> {
        let mut metadata = MetadataMap::new();
        if let Some(field) = self.owners_alone() {
            let message = DynamicMessage::decode(self.input.clone(), request.clone());
            let owner = message.ok().and_then(|it| {
                let owner = it.get_field_by_name(field)?.as_str()?.to_owned();
                owner.parse::<uuid::Uuid>().ok().map(|_| owner)
            });
            let token = Forger::of(&shop.platform).token(&owner.unwrap_or_else(uuid), &[]);
            metadata = bearer(&token);
        }
        self.send_by(shop.channel(&self.process), request, metadata).await
    }

    /// Sends a request with nothing but this metadata.
    pub async fn send_with(
        &self,
        shop: &Shop,
        request: Bytes,
        metadata: MetadataMap,
    ) -> Result<Bytes, Status> {
        let uri = shop.platform.uri(&self.process);
        let channel = Endpoint::from_shared(uri).unwrap().connect_lazy();
        self.send_by(channel, request, metadata).await
    }

    async fn send_by<C>(
        &self,
        channel: C,
        request: Bytes,
        metadata: MetadataMap,
    ) -> Result<Bytes, Status>
    where
        C: GrpcService<Body, ResponseBody = Body, Error = transport::Error>,
    {
        let mut client = Grpc::new(channel);
        client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let mut request = Request::new(futures::stream::iter([request]));
        *request.metadata_mut() = metadata;
        request.set_timeout(PATIENCE);
        let path = PathAndQuery::try_from(format!("/{}", self.path)).unwrap();
        let mut answers = client.streaming(request, path, Raw).await?.into_inner();
        let first = answers.message().await?;
        if !self.streams {
            assert_eq!(answers.message().await?, None, "{}: a second answer", self.path);
        }
        // A stream that ends without an answer has none to give.
        Ok(first.unwrap_or_default())
    }
}

/// Calls an RPC with JSON and returns its answer as JSON: for what a sample needs to be there.
pub async fn ask(shop: &Shop, path: &str, request: Value) -> Value {
    let rpc = rpc(path);
    let bytes = rpc.request(&request).encode_to_vec();
    let answer = rpc.send(shop, bytes.into()).await;
    let answer = answer.unwrap_or_else(|status| panic!("{path} of {request}: {status:?}"));
    let answer = DynamicMessage::decode(rpc.output.clone(), answer).unwrap();
    serde_json::to_value(answer).unwrap()
}

/// Messages as they are on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
