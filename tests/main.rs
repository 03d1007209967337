//! What the platform promises, one scenario per file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod architecture;
mod audit;
mod bad_input;
mod checkout;
mod contracts;
mod crash_grid;
mod data_stores;
mod demo;
mod doors;
mod evidence;
mod isolation;
mod killer_run;
mod money;
mod orders_and_money;
mod scorecard;
mod shop;
