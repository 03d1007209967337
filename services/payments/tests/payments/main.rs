//! Payments through gRPC, with a real card processor in this process and a real database each.

mod authorize;
mod bad_input;
mod capture_and_refund;
mod crash;
mod settle;
mod till;
mod undo;
