//! Reflection: lets `grpcurl` list and describe what is served here, and nothing else.

use anyhow::Context as _;
use tonic_reflection::{
    pb,
    server::{Builder, v1, v1alpha},
};

const OWN: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Returns both versions over the union of `descriptors`, listing the services `names`.
pub(super) fn servers(
    descriptors: &[&'static [u8]],
    names: &[&'static str],
) -> anyhow::Result<(
    v1::ServerReflectionServer<impl v1::ServerReflection + use<>>,
    v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection + use<>>,
)> {
    let v1 = builder(descriptors, names).build_v1().context("reflection")?;
    let v1alpha = builder(descriptors, names).build_v1alpha().context("reflection")?;
    Ok((v1, v1alpha))
}

fn builder<'a>(descriptors: &[&'a [u8]], names: &[&'static str]) -> Builder<'a> {
    let own = [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        // What refusals carry, so that a tool can show it: ErrorInfo, BadRequest, …
        tonic_types::pb::FILE_DESCRIPTOR_SET,
        pb::v1::FILE_DESCRIPTOR_SET,
        pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let builder = Builder::configure().include_reflection_service(false);
    let builder = descriptors
        .iter()
        .copied()
        .chain(own)
        .fold(builder, Builder::register_encoded_file_descriptor_set);
    names.iter().copied().chain(OWN).fold(builder, Builder::with_service_name)
}
