//! Reflection, v1 and v1alpha: what can be reached here, and nothing else.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use prost::Message as _;
use prost_reflect::{MethodDescriptor, prost_types::FileDescriptorSet};
use tonic_reflection::{
    pb,
    server::{
        Builder,
        v1::{ServerReflection, ServerReflectionServer},
        v1alpha,
    },
};

/// What the gateway answers itself.
const OWN: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Places in a file descriptor, as `SourceCodeInfo` spells them.
const SERVICE: i32 = 6;
const METHOD: i32 = 2;

/// Servers of both versions, which tell of these RPCs, and of what the gateway answers itself.
pub(crate) fn servers(
    rpcs: &[MethodDescriptor],
) -> Result<(
    ServerReflectionServer<impl ServerReflection + use<>>,
    v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection + use<>>,
)> {
    let v1 = builder(rpcs)?.build_v1().context("reflection")?;
    let v1alpha = builder(rpcs)?.build_v1alpha().context("reflection")?;
    Ok((v1, v1alpha))
}

fn builder(rpcs: &[MethodDescriptor]) -> Result<Builder<'static>> {
    let names: BTreeSet<String> =
        rpcs.iter().map(|rpc| rpc.parent_service().full_name().to_owned()).collect();
    let builder = Builder::configure()
        .include_reflection_service(false)
        .register_file_descriptor_set(reachable(rpcs)?)
        // What refusals carry, so that a tool can show it: ErrorInfo, BadRequest, …
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(pb::v1alpha::FILE_DESCRIPTOR_SET);
    let names = names.into_iter().chain(OWN.map(str::to_owned));
    Ok(names.fold(builder, Builder::with_service_name))
}

/// The contracts without what cannot be reached.
fn reachable(rpcs: &[MethodDescriptor]) -> Result<FileDescriptorSet> {
    let names: BTreeSet<&str> = rpcs.iter().map(MethodDescriptor::full_name).collect();
    let mut set = FileDescriptorSet::decode(shop::DESCRIPTORS).context("the contracts")?;
    for file in &mut set.file {
        let package = file.package().to_owned();
        let (mut services, mut methods) = (Kept::default(), Vec::new());
        for service in &mut file.service {
            let prefix = format!("{package}.{}", service.name());
            let mut kept = Kept::default();
            service
                .method
                .retain(|rpc| kept.note(names.contains(&*format!("{prefix}.{}", rpc.name()))));
            methods.push(kept);
        }
        file.service.retain(|service| services.note(!service.method.is_empty()));
        // Comments are found by position, and positions have moved.
        if let Some(info) = &mut file.source_code_info {
            info.location.retain_mut(|location| moved(&mut location.path, &services, &methods));
        }
    }
    Ok(set)
}

/// Where each element of a list is, when some were taken out.
#[derive(Default)]
struct Kept {
    places: Vec<Option<i32>>,
    count: i32,
}

impl Kept {
    fn note(&mut self, is_kept: bool) -> bool {
        self.places.push(is_kept.then_some(self.count));
        self.count += i32::from(is_kept);
        is_kept
    }

    fn place(&self, before: i32) -> Option<i32> {
        *self.places.get(usize::try_from(before).ok()?)?
    }
}

/// Corrects the position of a comment; false if what it is about is gone.
fn moved(path: &mut [i32], services: &Kept, methods: &[Kept]) -> bool {
    let [SERVICE, service, rest @ ..] = path else { return true };
    let within = usize::try_from(*service).ok().and_then(|service| methods.get(service));
    let Some(place) = services.place(*service) else { return false };
    *service = place;
    if let ([METHOD, method, ..], Some(within)) = (rest, within) {
        let Some(place) = within.place(*method) else { return false };
        *method = place;
    }
    true
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn what_cannot_be_reached_is_gone_and_comments_are_where_they_belong() {
        let pool = DescriptorPool::decode(shop::DESCRIPTORS).unwrap();
        let orders = pool.get_service_by_name("shop.orders.v1.OrdersService").unwrap();
        let rpcs: Vec<_> = orders.methods().filter(|rpc| rpc.name() == "GetOrder").collect();

        let set = reachable(&rpcs).unwrap();

        let services: Vec<_> = set.file.iter().flat_map(|file| &file.service).collect();
        assert_eq!((services.len(), services[0].name()), (1, "OrdersService"));
        assert_eq!(services[0].method.len(), 1);
        let file = set.file.iter().find(|file| !file.service.is_empty()).unwrap();
        let comments = &file.source_code_info.as_ref().unwrap().location;
        let of = |path: &[i32]| {
            let mut at = comments.iter().filter(|it| it.path == path);
            at.next().map(|it| it.leading_comments().trim().to_owned())
        };
        let told = of(&[SERVICE, 0, METHOD, 0]).unwrap();
        assert!(told.starts_with("Returns the order as it is now"), "{told}");
        assert_eq!(of(&[SERVICE, 0, METHOD, 1]), None);
    }
}
