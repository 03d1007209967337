//! What holds for every RPC, asked of each by its descriptor alone. An RPC that is added is tested by
//! these as soon as `samples/` says what a good request to it looks like, and fails them until then.

mod access;
mod bad_input;
mod bounds;
pub mod call;
mod described;
mod fields;
mod forged;
mod pinned;
mod printed;
mod published;
mod repeats;
mod rows;
mod samples;

pub use call::{Rpc, rpcs};
pub use forged::{Forger, bearer};
