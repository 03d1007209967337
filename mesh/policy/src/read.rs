//! Reads one RPC's options.

use std::{sync::Arc, time::Duration};

use prost_reflect::{
    DescriptorPool, DynamicMessage, MethodDescriptor, Value,
    prost_types::method_options::IdempotencyLevel,
};

use crate::{Error, Idempotency, Method, RequestId};

const EXTENSION: &str = "mesh.v1.method";

pub(crate) fn method(
    pool: &DescriptorPool,
    descriptor: &MethodDescriptor,
    path: Arc<str>,
) -> Result<Method, Error> {
    let missing = |part| Error::Missing { method: Arc::clone(&path), part };
    let contradiction = |why| Error::Contradiction { method: Arc::clone(&path), why };

    let policy = policy(pool, descriptor).ok_or_else(|| missing("option mesh.v1.method"))?;
    let default_deadline =
        duration(&policy, "default_deadline").ok_or_else(|| missing("default_deadline"))?;
    let max_deadline = duration(&policy, "max_deadline").ok_or_else(|| missing("max_deadline"))?;
    let request_id = request_id(&policy);
    let idempotency = idempotency(descriptor);

    if default_deadline > max_deadline {
        return Err(contradiction("default_deadline is longer than max_deadline"));
    }
    if idempotency == Idempotency::NoSideEffects && request_id != RequestId::NotNeeded {
        return Err(contradiction("an RPC without side effects needs no request_id"));
    }
    let field = descriptor.input().get_field_by_name("request_id").is_some();
    if request_id == RequestId::Required && !field && !descriptor.is_client_streaming() {
        return Err(contradiction("request_id is required but the request has no such field"));
    }
    Ok(Method {
        path,
        default_deadline,
        max_deadline,
        request_id,
        idempotency,
        server_streaming: descriptor.is_server_streaming(),
        client_streaming: descriptor.is_client_streaming(),
    })
}

fn policy(pool: &DescriptorPool, descriptor: &MethodDescriptor) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name(EXTENSION)?;
    let options = descriptor.options();
    if !options.has_extension(&extension) {
        return None;
    }
    match options.get_extension(&extension).into_owned() {
        Value::Message(message) => Some(message),
        _ => None,
    }
}

/// A positive `google.protobuf.Duration`.
fn duration(policy: &DynamicMessage, field: &str) -> Option<Duration> {
    let value = policy.get_field_by_name(field)?;
    let message = value.as_message()?;
    let seconds = message.get_field_by_name("seconds")?.as_i64()?;
    let nanos = message.get_field_by_name("nanos")?.as_i32()?;
    let duration = Duration::new(seconds.try_into().ok()?, nanos.try_into().ok()?);
    (!duration.is_zero()).then_some(duration)
}

fn request_id(policy: &DynamicMessage) -> RequestId {
    let number = policy.get_field_by_name("request_id").and_then(|value| value.as_enum_number());
    match number {
        Some(1) => RequestId::Required,
        Some(2) => RequestId::Exempt,
        _ => RequestId::NotNeeded,
    }
}

fn idempotency(descriptor: &MethodDescriptor) -> Idempotency {
    let options = descriptor.method_descriptor_proto().options.clone().unwrap_or_default();
    match options.idempotency_level() {
        IdempotencyLevel::IdempotencyUnknown => Idempotency::Unknown,
        IdempotencyLevel::NoSideEffects => Idempotency::NoSideEffects,
        IdempotencyLevel::Idempotent => Idempotency::Idempotent,
    }
}
