//! What the platform promises, one scenario per file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api_reference;
mod architecture;
mod audit;
mod bad_input;
mod broker;
mod by_traffic;
mod callers;
mod catalog;
mod checkout;
mod compose;
mod consumers;
mod contracts;
mod crash_grid;
mod data_stores;
mod demo;
mod doors;
mod edges;
mod evidence;
mod front_door;
mod generated;
mod isolation;
mod killer_run;
mod lists;
mod manifests;
mod money;
mod network;
mod objectives;
mod observe;
mod orders_and_money;
mod polyglot;
mod scorecard;
mod shop;
mod sign_in;
mod storefront;
mod toolchains;
