//! A cluster of a test's own: a real API server, a real istiod and real Envoys take in what is shipped,
//! and calls show what they make of it.

mod accepted;
mod authorization;
pub mod calls;
mod claims;
mod double;
mod drain;
mod faults;
mod lab;
mod mutations;
mod plane;
mod pools;
mod probe;
mod refusals;
mod rollout;
mod schemas;
mod shipped;
mod sides;
mod spread;
