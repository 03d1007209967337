//! A Kubernetes API and Istio's control plane on loopback, without containers and without nodes: objects
//! are validated, kept and told as in any cluster, sidecars are given their configuration and their
//! certificates. Nothing schedules pods, nothing runs what a Deployment asks for.

mod control;
mod door;
mod envoy;
mod kubectl;
mod modules;
mod network;
mod objects;
mod parts;
mod sidecar;
mod tools;

pub use control::{Cluster, Part};
pub use door::Door;
pub(crate) use envoy::{find as find_envoy, known as known_envoy, on_machine as envoy_on_machine};
pub use kubectl::Kubectl;
pub use network::Network;
pub use sidecar::{Sidecar, Workload};
pub use tools::Tools;
