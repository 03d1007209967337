//! `shop.processor.v1` over gRPC. Handlers translate; they decide nothing.

mod cards;
mod processor;
mod status;

pub use cards::cards_service;
pub use processor::processor_service;
