//! What a consumer is told, and what arrives of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
};

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::change::Change;
use crate::generated::{Rpc, rpcs};

pub static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::new();
    for set in [mesh_proto::DESCRIPTORS, shop::DESCRIPTORS] {
        pool.decode_file_descriptor_set(set).unwrap();
    }
    pool
});

static RPCS: LazyLock<BTreeMap<String, Rpc>> =
    LazyLock::new(|| rpcs().into_iter().map(|rpc| (rpc.path.clone(), rpc)).collect());

pub fn rpc(path: &str) -> &'static Rpc {
    RPCS.get(path).unwrap_or_else(|| panic!("{path} is no RPC of the shop"))
}

/// What a provider said.
#[derive(Clone, Debug)]
pub enum Heard {
    Answer { rpc: String, request: DynamicMessage, answer: DynamicMessage },
    Refusal { rpc: String, request: DynamicMessage, refusal: Refusal },
    Event { event: String, message: DynamicMessage },
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: &'static str,
    pub reason: String,
    pub metadata: BTreeMap<String, String>,
}

impl Refusal {
    /// None if the status gives no reason, as one that no service has written.
    pub fn of(status: &Status) -> Option<Self> {
        let info = status.get_details_error_info()?;
        let metadata = info.metadata.into_iter().collect();
        Some(Self { code: mesh_rpc::code_name(status.code()), reason: info.reason, metadata })
    }
}

/// One consumer's: all that stands between it and its providers writes here what they said, and asks
/// here what of it arrives. Cheap to clone.
#[derive(Clone, Default)]
pub struct Ear {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    change: Change,
    heard: Vec<Heard>,
}

impl Ear {
    /// From now on this is changed, and what was heard before is forgotten.
    pub fn begin(&self, change: Change) {
        *self.inner.lock().unwrap() = Inner { change, heard: Vec::new() };
    }

    /// What was said since, unchanged.
    pub fn heard(&self) -> Vec<Heard> {
        self.inner.lock().unwrap().heard.clone()
    }

    pub fn answer(&self, path: &str, request: &Bytes, answer: Bytes) -> Bytes {
        let Some(rpc) = RPCS.get(path) else { return answer };
        let request = DynamicMessage::decode(rpc.input.clone(), request.clone()).unwrap();
        let answer = DynamicMessage::decode(rpc.output.clone(), answer).unwrap();
        let mut inner = self.inner.lock().unwrap();
        let arrives = inner.change.message(path, &answer);
        inner.heard.push(Heard::Answer { rpc: path.to_owned(), request, answer });
        arrives.encode_to_vec().into()
    }

    pub fn refusal(&self, path: &str, request: &Bytes, status: Status) -> Status {
        let (Some(rpc), Some(refusal)) = (RPCS.get(path), Refusal::of(&status)) else {
            return status;
        };
        let request = DynamicMessage::decode(rpc.input.clone(), request.clone()).unwrap();
        let mut inner = self.inner.lock().unwrap();
        let (reason, metadata) = inner.change.refusal(path, &refusal.reason, &refusal.metadata);
        inner.heard.push(Heard::Refusal { rpc: path.to_owned(), request, refusal });
        let mut details = status.get_error_details();
        let domain = details.error_info().map(|info| info.domain.clone()).unwrap_or_default();
        details.set_error_info(
            reason,
            domain,
            metadata.into_iter().collect::<std::collections::HashMap<_, _>>(),
        );
        let meta = status.metadata().clone();
        let (code, message) = (status.code(), status.message());
        Status::with_error_details_and_metadata(code, message, details, meta)
    }

    pub fn event(&self, kind: &str, body: &[u8]) -> Vec<u8> {
        let Some(descriptor) = POOL.get_message_by_name(kind) else { return body.to_vec() };
        let message = DynamicMessage::decode(descriptor, body).unwrap();
        let mut inner = self.inner.lock().unwrap();
        let arrives = inner.change.message(kind, &message);
        inner.heard.push(Heard::Event { event: kind.to_owned(), message });
        arrives.encode_to_vec()
    }
}

/// A message in the contract's JSON.
pub fn json(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true);
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}
