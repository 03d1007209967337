//! What `meshctl` does to a running shop, as a library: tests do the same.

pub mod audit;
pub mod bench;
pub mod demo;
pub mod doors;
pub mod operate;
pub mod services;

mod persist;
