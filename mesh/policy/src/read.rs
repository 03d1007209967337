//! Reads the options of one RPC and of one service.

use std::{sync::Arc, time::Duration};

use prost_reflect::{
    DescriptorPool, DynamicMessage, MethodDescriptor, ServiceDescriptor, Value,
    prost_types::method_options::IdempotencyLevel,
};

use crate::{
    Criticality, Error, Idempotency, Method, RequestId, RetryCodes, Service,
    code::{NAMES, objection},
};

const METHOD: &str = "mesh.v1.method";
const SERVICE: &str = "mesh.v1.service";

pub(crate) fn method(
    pool: &DescriptorPool,
    descriptor: &MethodDescriptor,
    path: Arc<str>,
) -> Result<Method, Error> {
    let missing = |part| Error::Missing { subject: Arc::clone(&path), part };
    let contradiction = |why: String| Error::Contradiction { subject: Arc::clone(&path), why };

    let policy = extension(pool, METHOD, &descriptor.options())
        .ok_or_else(|| missing("option mesh.v1.method"))?;
    let mut method = Method {
        default_deadline: duration(&policy, "default_deadline")
            .ok_or_else(|| missing("default_deadline"))?,
        max_deadline: duration(&policy, "max_deadline").ok_or_else(|| missing("max_deadline"))?,
        request_id: request_id(&policy).map_err(contradiction)?,
        idempotency: idempotency(descriptor),
        retry_codes: listed_codes(&policy).map_err(contradiction)?,
        hedging: policy.get_field_by_name("hedging").and_then(|it| it.as_bool()).unwrap_or(false),
        criticality: criticality(&policy).map_err(contradiction)?,
        server_streaming: descriptor.is_server_streaming(),
        client_streaming: descriptor.is_client_streaming(),
        access: crate::access::read::access(pool, descriptor, &path)?,
        deprecation: crate::deprecation::read(pool, descriptor, &path)?,
        path: Arc::clone(&path),
    };
    let has_field = descriptor.input().get_field_by_name("request_id").is_some();
    check(&method, has_field).map_err(|why| contradiction(why.to_owned()))?;

    let is_repeatable = method.idempotency != Idempotency::Unknown && !method.client_streaming;
    if method.retry_codes.is_empty() && is_repeatable {
        method.retry_codes = RetryCodes::NONE.with(RetryCodes::UNAVAILABLE);
    }
    Ok(method)
}

pub(crate) fn service(
    pool: &DescriptorPool,
    descriptor: &ServiceDescriptor,
) -> Result<Service, Error> {
    let name: Arc<str> = descriptor.full_name().into();
    let missing = |part| Error::Missing { subject: Arc::clone(&name), part };

    let policy = extension(pool, SERVICE, &descriptor.options())
        .ok_or_else(|| missing("option mesh.v1.service"))?;
    let owner = policy.get_field_by_name("owner").and_then(|it| it.as_str().map(str::to_owned));
    let owner = owner.filter(|owner| !owner.is_empty()).ok_or_else(|| missing("owner"))?;
    let concurrency = match policy.has_field_by_name("concurrency") {
        true => policy.get_field_by_name("concurrency").and_then(|it| it.as_u32()),
        false => None,
    };
    if concurrency == Some(0) {
        let why = "a concurrency of 0 would refuse every call; leave it out for no bound".into();
        return Err(Error::Contradiction { subject: name, why });
    }
    Ok(Service { name, owner, concurrency: concurrency.and_then(|it| it.try_into().ok()) })
}

/// Says why the statements about one method cannot all hold.
fn check(method: &Method, has_request_id: bool) -> Result<(), &'static str> {
    use Idempotency::{NoSideEffects, Unknown};

    let keyed = method.request_id != RequestId::NotNeeded;
    let rules = [
        (
            method.default_deadline > method.max_deadline,
            "default_deadline is longer than max_deadline",
        ),
        (
            method.idempotency == NoSideEffects && keyed,
            "an RPC without side effects needs no request_id",
        ),
        (
            method.idempotency == Unknown && keyed,
            "its request_id rule says that it is safe to repeat, its idempotency_level does not",
        ),
        (
            method.request_id == RequestId::Required && !has_request_id && !method.client_streaming,
            "request_id is required but the request has no such field",
        ),
        (
            method.idempotency == Unknown && !method.retry_codes.is_empty(),
            "it lists retry_codes, but no idempotency_level says that it is safe to repeat",
        ),
        (
            method.client_streaming && !method.retry_codes.is_empty(),
            "it lists retry_codes, but a stream of requests is never sent again",
        ),
        (
            method.hedging && method.idempotency != NoSideEffects,
            "hedging runs it twice, but it is not NO_SIDE_EFFECTS",
        ),
        (
            method.hedging && method.client_streaming,
            "hedging would send a stream of requests twice",
        ),
        (
            method.hedging && method.server_streaming,
            "hedging would keep two streams of answers open",
        ),
    ];
    rules.into_iter().find(|(broken, _)| *broken).map_or(Ok(()), |(_, why)| Err(why))
}

pub(crate) fn extension(
    pool: &DescriptorPool,
    name: &str,
    options: &DynamicMessage,
) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name(name)?;
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

fn request_id(policy: &DynamicMessage) -> Result<RequestId, String> {
    match number(policy, "request_id") {
        0 => Ok(RequestId::NotNeeded),
        1 => Ok(RequestId::Required),
        2 => Ok(RequestId::Exempt),
        other => Err(format!("request_id {other} is not known")),
    }
}

fn criticality(policy: &DynamicMessage) -> Result<Criticality, String> {
    match number(policy, "criticality") {
        1 => Ok(Criticality::Critical),
        0 | 2 => Ok(Criticality::Default),
        3 => Ok(Criticality::Sheddable),
        other => Err(format!("criticality {other} is not known")),
    }
}

fn number(policy: &DynamicMessage, field: &str) -> i32 {
    policy.get_field_by_name(field).and_then(|value| value.as_enum_number()).unwrap_or(0)
}

/// The codes that stand in the contract, each once and each safe.
fn listed_codes(policy: &DynamicMessage) -> Result<RetryCodes, String> {
    let value = policy.get_field_by_name("retry_codes");
    let listed = value.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    let mut codes = RetryCodes::NONE;
    for code in listed.iter().filter_map(Value::as_enum_number) {
        let name = usize::try_from(code).ok().and_then(|index| NAMES.get(index));
        let name = name.map_or_else(|| code.to_string(), |name| (*name).to_owned());
        if let Some(why) = objection(code) {
            return Err(format!("{name} is not safe to repeat after: {why}"));
        }
        if codes.contains(code) {
            return Err(format!("retry_codes lists {name} twice"));
        }
        codes = codes.with(code);
    }
    Ok(codes)
}

fn idempotency(descriptor: &MethodDescriptor) -> Idempotency {
    let options = descriptor.method_descriptor_proto().options.clone().unwrap_or_default();
    match options.idempotency_level() {
        IdempotencyLevel::IdempotencyUnknown => Idempotency::Unknown,
        IdempotencyLevel::NoSideEffects => Idempotency::NoSideEffects,
        IdempotencyLevel::Idempotent => Idempotency::Idempotent,
    }
}
