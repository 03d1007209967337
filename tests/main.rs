//! What the platform promises, one scenario per file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod architecture;
mod checkout;
mod contracts;
mod crash_grid;
mod killer_run;
mod money;
mod shop;
