//! What `meshctl` does to a running shop, as a library: tests do the same.

pub mod affected;
pub mod api_reference;
pub mod audit;
pub mod bench;
pub mod caller;
pub mod contracts;
pub mod delivery;
pub mod demo;
pub mod doors;
pub mod generate;
pub mod git;
pub mod graph;
pub mod migrations;
pub mod operate;
pub mod policy;
pub mod rollout;
pub mod services;
pub mod top;
pub mod traces;
pub mod users;
pub mod watch;

mod persist;
