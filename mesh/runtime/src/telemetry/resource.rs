//! Whose signals these are.

use std::sync::{
    LazyLock, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use uuid::Uuid;

use crate::ServiceConfig;

static RESOURCE: OnceLock<Resource> = OnceLock::new();
/// This run of this process.
static INSTANCE: LazyLock<Uuid> = LazyLock::new(Uuid::now_v7);
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Notes whose signals this process sends: those of the service that comes first.
///
/// `OTEL_RESOURCE_ATTRIBUTES` adds to it, as the specification of OpenTelemetry's SDK says.
pub(super) fn begin(name: &'static str, config: &ServiceConfig) -> Resource {
    let own = [
        KeyValue::new("service.version", config.service_version.clone()),
        KeyValue::new("service.instance.id", INSTANCE.to_string()),
    ];
    let resource = || Resource::builder().with_service_name(name).with_attributes(own).build();
    RESOURCE.get_or_init(resource).clone()
}

/// What was noted; nothing before that.
pub(crate) fn known() -> Resource {
    RESOURCE.get().cloned().unwrap_or_else(|| Resource::builder_empty().build())
}

/// Names a service's run: as its signals do for the first of the process.
pub(crate) fn instance() -> Uuid {
    if IS_TAKEN.swap(true, Ordering::Relaxed) { Uuid::now_v7() } else { *INSTANCE }
}
