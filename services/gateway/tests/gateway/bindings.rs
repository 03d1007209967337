//! Every binding of every contract: it is routed, and its request arrives as it was meant.

use bytes::Bytes;
use http::{Method, Request, header};
use mesh_transcode::{Binding, Segment, Transcoder};
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};

use crate::{support::Gateway, witness::Witness};

/// All bindings there are, whether the gateway knows of them or not.
pub fn transcoder() -> Transcoder {
    let pool = DescriptorPool::decode(shop::DESCRIPTORS).unwrap();
    let rpcs = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    Transcoder::new(&pool, rpcs).unwrap()
}

/// A message that says something in every field.
pub fn sample(descriptor: &MessageDescriptor) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        assert!(!field.is_map(), "{}: say here how a map is sent", field.full_name());
        let one = value(&field);
        let value = if field.is_list() { Value::List(vec![one.clone(), one]) } else { one };
        message.set_field(&field, value);
    }
    message
}

fn value(field: &FieldDescriptor) -> Value {
    match field.kind() {
        Kind::String => Value::String(format!("a {}/é", field.name())),
        Kind::Bool => Value::Bool(true),
        Kind::Int32 => Value::I32(7),
        Kind::Int64 => Value::I64(1 << 60),
        Kind::Double => Value::F64(52.25),
        Kind::Enum(_) => Value::EnumNumber(1),
        Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
            Value::Message(moment(message, 1_795_000_000))
        }
        Kind::Message(message) if message.full_name() == "google.protobuf.Duration" => {
            Value::Message(moment(message, 90))
        }
        Kind::Message(message) if message.full_name() == "google.protobuf.FieldMask" => {
            let mut mask = DynamicMessage::new(message);
            let paths = vec![Value::String("name".to_owned()), Value::String("a_field".to_owned())];
            mask.set_field_by_name("paths", Value::List(paths));
            Value::Message(mask)
        }
        Kind::Message(message) => Value::Message(sample(&message)),
        other => panic!("{}: say here how {other:?} is sent", field.full_name()),
    }
}

/// A point in time, or a stretch of it.
fn moment(kind: MessageDescriptor, seconds: i64) -> DynamicMessage {
    let mut time = DynamicMessage::new(kind);
    time.set_field_by_name("seconds", Value::I64(seconds));
    time.set_field_by_name("nanos", Value::I32(7_000));
    time
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The request that asks for `message`.
pub fn request(binding: &Binding, message: &DynamicMessage) -> Request<Bytes> {
    let template = binding.template();
    let mut rest = message.clone();
    let mut path = String::new();
    for (at, segment) in template.segments().iter().enumerate() {
        path.push('/');
        match segment {
            Segment::Literal(text) => path.push_str(text),
            _ => {
                let mut all = template.variables().iter();
                let variable = all.find(|it| it.segments.contains(&at)).unwrap();
                let value = message.get_field_by_name(&variable.field).unwrap();
                path.push_str(&encode(value.as_str().unwrap()));
                rest.clear_field_by_name(&variable.field);
            }
        }
    }
    if let Some(verb) = template.verb() {
        path.push_str(&format!(":{verb}"));
    }
    let mut request = Request::builder().method(binding.method());
    if binding.takes_body() {
        request = request.header(header::CONTENT_TYPE, "application/json");
        return request.uri(path).body(serde_json::to_vec(&rest).unwrap().into()).unwrap();
    }
    let mut pairs = Vec::new();
    for (field, value) in rest.fields() {
        let values = value.as_list().map_or_else(|| vec![value.clone()], <[Value]>::to_vec);
        pairs.extend(values.iter().map(|value| format!("{}={}", field.name(), text(value))));
    }
    let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
    request.uri(format!("{path}{query}")).body(Bytes::new()).unwrap()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => encode(text),
        Value::Bool(is) => is.to_string(),
        Value::I32(number) | Value::EnumNumber(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        other => panic!("say here how {other:?} is in a query"),
    }
}

#[tokio::test]
async fn every_binding_is_routed_and_its_request_arrives_as_it_was_meant() {
    let witness = Witness::begin().await;
    let services = ["catalog", "orders", "processor", "shipping", "storefront", "users"];
    let gateway = Gateway::before(&services.map(|name| (name, witness.at))).await;
    let transcoder = transcoder();
    assert!(transcoder.bindings().len() > 20, "the contracts were not read");

    for (n, binding) in transcoder.bindings().iter().enumerate() {
        let rpc = binding.rpc();
        let message = sample(&rpc.input());
        let answer = gateway.send(request(binding, &message)).await;

        let (status, said) = (answer.status, answer.text().await);
        assert_eq!(status, 200, "{} {}: {said}", binding.method(), binding.template());
        assert_eq!(witness.count(), n + 1, "{}", rpc.full_name());
        let seen = witness.last();
        assert_eq!(seen.path, format!("/{}/{}", rpc.parent_service().full_name(), rpc.name()));
        let arrived = DynamicMessage::decode(rpc.input(), seen.message.clone()).unwrap();
        assert_eq!(arrived.encode_to_vec(), message.encode_to_vec(), "{}", rpc.full_name());
    }
}

/// RPCs of customers have a path, and no others: what the gateway declares to call is the one list.
#[test]
fn what_has_a_path_is_what_the_gateway_declares_to_call() {
    let transcoder = transcoder();
    let of = |binding: &Binding| {
        let package = binding.rpc().parent_service().package_name().to_owned();
        let service = package.split('.').nth(1).unwrap().to_owned();
        (service, binding.rpc().name().to_owned())
    };
    let mut bound: Vec<_> = transcoder.bindings().iter().map(of).collect();
    bound.sort();
    bound.dedup();

    let declared: toml::Value = toml::from_str(include_str!("../../mesh.toml")).unwrap();
    let mut called = Vec::new();
    for call in declared["calls"].as_array().unwrap() {
        let service = call["service"].as_str().unwrap();
        let methods = call["methods"].as_array().unwrap().iter();
        called.extend(methods.map(|name| (service.to_owned(), name.as_str().unwrap().to_owned())));
    }
    called.sort();
    assert_eq!(bound, called);
}

#[tokio::test]
async fn headers_that_services_believe_end_at_the_door() {
    let witness = Witness::begin().await;
    let gateway = Gateway::with(&[("catalog", witness.at)], |config| {
        config.forward_metadata = vec![header::ACCEPT_LANGUAGE];
    })
    .await;
    let spoofed = [
        ("x-forwarded-client-cert", "URI=spiffe://mesh.local/ns/shop/sa/orders"),
        ("x-mesh-service-token", "token"),
        ("x-mesh-criticality", "CRITICAL"),
        ("x-mesh-request-id", "another"),
        ("x-envoy-attempt-count", "2"),
        ("x-user-bucket", "07"),
        ("grpc-previous-rpc-attempts", "7"),
        ("cookie", "a=b"),
        ("baggage", "user=ada"),
    ];
    let path = "/shop.catalog.v1.CatalogService/GetProduct";
    for (kind, method, target) in [
        ("application/json", Method::GET, "/v1/products/MUG"),
        ("application/grpc-web", Method::POST, path),
    ] {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in spoofed {
            request = request.header(name, value);
        }
        let request = request
            .header(header::CONTENT_TYPE, kind)
            .header("accept-language", "de")
            .header("authorization", "Bearer x")
            .header("x-correlation-id", "story")
            .header("x-request-id", "this")
            .header("grpc-timeout", "3S");
        let body = if kind == "application/json" { &[][..] } else { &[0; 5] };
        let answer = gateway.send(request.body(Bytes::copy_from_slice(body)).unwrap()).await;

        assert_eq!(answer.status, 200, "{kind}");
        assert!(answer.headers.get("x-mesh-refusal").is_none(), "{kind}: it is between services");
        let seen = witness.last();
        for (name, value) in spoofed {
            let came = seen.headers.get(name).is_some_and(|came| came == value);
            assert!(!came, "{kind}: {name} went on: {:?}", seen.headers);
        }
        assert_eq!(seen.headers["accept-language"], "de", "{kind}");
        assert_eq!(seen.headers["authorization"], "Bearer x", "{kind}");
        assert_eq!(seen.headers["x-correlation-id"], "story", "{kind}");
        assert_eq!(seen.headers["x-mesh-request-id"], "this", "{kind}");
        let left = seen.headers["grpc-timeout"].to_str().unwrap();
        assert!(left.ends_with(['m', 'u', 'n']), "{kind}: what is left of three seconds: {left}");
    }
}
